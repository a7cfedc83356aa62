//! What becomes of the table's entries.

/// A flag of the command line, what stands for its value, and the end of its variable's name.
macro_rules! flag {
    ($long:literal, $value:literal, $variable:literal $(, $field:ident: $of:expr)*) => {
        Some($crate::options::Flag {
            long: $long,
            value: $value,
            variables: [concat!("ONRUSH_TEST_", $variable), concat!("ONRUSH_BENCH_", $variable)],
            $($field: $of,)*
            ..$crate::options::Flag::PLAIN
        })
    };
}

/// Declares the options. Each entry: what it means, its field, the field's type and default, the kind of its value, its name in
/// REST, and what else is to be said of it. Those behind `also` are other ways to set a field.
macro_rules! test_options {
    (
        $($(#[doc = $about:literal])+
        $field:ident: $value:ty = $default:expr, $kind:expr => $name:literal {
            $($attribute:ident: $of:expr),* $(,)?
        })*
        also:
        $($(#[doc = $other_about:literal])+
        $other_field:ident: $other_value:ty, $other_kind:expr => $other_name:literal {
            $($other_attribute:ident: $other_of:expr),* $(,)?
        })*
    ) => {
        /// A test as the drivers get it. [`TestConfig::problems`] says what is wrong with one.
        #[derive(Clone, PartialEq)]
        pub struct TestConfig {
            /// The test.
            pub test_id: $crate::TestId,
            /// How requests are spaced.
            pub test_type: $crate::TestType,
            $($(#[doc = $about])+ pub $field: $value,)*
            /// The drivers that take part; `None`: every driver that reads this.
            pub participants: Option<Vec<$crate::Participant>>,
            /// How the load was changed while it ran, in the order in which that was asked for.
            pub amendments: Vec<$crate::Amendment>,
        }

        impl TestConfig {
            /// A test with defaults everywhere else: `GET`, keep-alive, no limits.
            pub fn new(test_id: $crate::TestId, test_type: $crate::TestType) -> Self {
                Self { test_id, test_type, $($field: $default,)* participants: None, amendments: Vec::new() }
            }
        }

        impl std::fmt::Debug for TestConfig {
            // A key does not belong into a log.
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let Self { test_id, test_type, $($field,)* participants, amendments } = self;
                let mut debug = f.debug_struct("TestConfig");
                debug.field("test_id", test_id).field("test_type", test_type);
                $(match $crate::TestOption::named($name).is_some_and(|option| option.is_secret) {
                    true => _ = debug.field(stringify!($field), &"..."),
                    false => _ = debug.field(stringify!($field), $field),
                })*
                debug.field("participants", participants).field("amendments", amendments).finish()
            }
        }

        /// Every option, in the order of the message.
        pub static OPTIONS: &[$crate::TestOption] = &[
            $(test_options!(
                @option concat!($($about),+), $field: $value, $kind => $name, $($attribute: $of),*
            ),)*
            $(test_options!(
                @option concat!($($other_about),+), $other_field: $other_value, $other_kind => $other_name,
                $($other_attribute: $other_of),*
            ),)*
        ];
    };
    (@option $about:expr, $field:ident: $value:ty, $kind:expr => $name:literal, $($attribute:ident: $of:expr),*) => {{
        use $crate::TestOption;

        const KIND: &dyn $crate::options::Kind<Value = $value> = &$kind;
        const OPTION: TestOption = TestOption {
            $($attribute: $of,)*
            ..TestOption {
                name: $name,
                also: &[],
                label: "",
                about: $about.trim_ascii_start(),
                right: "another value",
                default: "",
                example: "null",
                section: $crate::options::Section::Request,
                flag: None,
                is_secret: false,
                shown_as: $name,
                is_for_drivers: true,
                wire: $name,
                is_written: |_| true,
                is_default: |config, defaults| config.$field == defaults.$field,
                read: |config, fields| {
                    if let Some(value) = KIND.read(fields, OPTION.wire)? {
                        config.$field = value;
                    }
                    Ok(())
                },
                write: |config, message| {
                    if (OPTION.is_written)(config) {
                        KIND.write(OPTION.wire, &config.$field, message);
                    }
                },
                parse: |config, given| {
                    config.$field = KIND.parse(given)?;
                    Ok(())
                },
                problem: |config| KIND.problem(&config.$field),
                shown: |config| KIND.shown(&config.$field),
                schema: || KIND.schema(),
                shown_schema: || KIND.shown_schema(),
                control: || KIND.control(),
            }
        };
        OPTION
    }};
}
