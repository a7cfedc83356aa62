//! The end-to-end cases, each written once as a function of a broker. [`instantiate!`] makes tests of them.

// A case that `instantiate!` does not list is dead code: it stops the build instead of being forgotten.
#![deny(dead_code)]

pub mod arrivals;
pub mod changes;
pub mod checks;
pub mod clocks;
pub mod compare;
pub mod faults;
pub mod garbage;
pub mod life;
pub mod limits;
pub mod loss;
mod made;
pub mod membership;
pub mod names;
pub mod profiles;
#[allow(dead_code, reason = "the Python peers belong to the Kafka suite alone")]
pub mod python;
pub mod random;
pub mod rates;
pub mod rest;
pub mod results;
pub mod searches;
pub mod spec_driver;
pub mod spec_orchestrator;
pub mod thresholds;
pub mod tokens;

/// Makes a test of every case, given a broker that tests may share, and one that a test may kill.
macro_rules! instantiate {
    ($shared:expr, $own:expr) => {
        suite::instantiate!(@tests $shared;
            results: avalanche_and_tsunami_are_exact, several_requests_and_their_checks_are_exact,
                two_tests_in_a_row, a_refused_connection_is_a_failure_with_a_name, the_limit_is_shown_live_and_kept;
            membership: eight_drivers_run_and_a_ninth_is_rejected, one_driver_alone_is_too_few,
                a_driver_that_joins_in_mid_test_waits_for_the_next, a_test_right_after_registration_is_received,
                a_flood_of_registrations_shuts_nobody_out;
            loss: orchestrator_killed_in_mid_test, driver_killed_in_mid_test, driver_restarted_under_its_name,
                reports_replayed_in_any_order;
            names: names_have_figures_that_add_up, ten_thousand_names_are_bounded;
            rates: target_throughput_is_never_exceeded;
            profiles: a_profile_is_followed_by_every_driver, drivers_share_one_schedule,
                a_driver_of_the_bare_specification_refuses_a_profile;
            arrivals: random_arrivals_are_a_poisson_process_at_the_target;
            changes: the_load_changes_at_the_same_second_on_every_driver,
                a_change_survives_the_death_of_the_orchestrator, a_change_that_cannot_be_is_refused_in_words;
            searches: the_capacity_of_a_queue_is_found_over_drivers,
                a_search_goes_on_after_the_death_of_the_orchestrator_and_is_stopped,
                a_search_that_cannot_be_is_refused_in_words;
            compare: two_tests_are_compared;
            rest: each_field_wrong_in_turn, end_states_are_final, the_stream_gives_each_second_once;
            life: a_running_test_is_stopped, a_target_that_is_down_fails_the_test;
            faults: an_orchestrator_that_stood_still_loses_nobody,
                a_driver_that_comes_back_after_the_end_completes_the_result,
                a_stop_reaches_what_nobody_knows, a_stop_that_somebody_else_sent_is_said;
            clocks: a_driver_whose_clock_is_set_while_it_lives;
            random: whatever_is_accepted_is_armed_listed_and_read_back;
            limits: too_few_threads_are_said, too_few_descriptors_refuse_the_test;
            garbage: garbage_on_every_topic_changes_nothing;
            spec_driver: a_driver_of_the_bare_specification_takes_part,
                a_slow_driver_of_the_bare_specification_that_leaves_after_its_last_report;
            thresholds: a_target_that_stalls_ends_the_test, a_threshold_outlives_the_orchestrator;
            tokens: a_guarded_orchestrator_serves_whoever_has_a_token_and_names_them;
            spec_orchestrator: a_bare_config_and_trigger, a_trigger_that_overtakes_its_config;
        );
        suite::instantiate!(@tests $own;
            rates: sending_does_not_falter_without_the_broker;
            faults: a_broker_that_was_away_makes_nobody_missing,
                an_orchestrator_without_a_broker_serves_and_waits;
        );
    };
    (@tests $broker:expr; $($module:ident: $($case:ident),+;)+) => {
        $($(
            #[test]
            fn $case() {
                crate::suite::$module::$case(&$broker);
            }
        )+)+
    };
}
pub(crate) use instantiate;
