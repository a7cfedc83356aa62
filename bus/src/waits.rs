//! Kafka's threads wait by the monotonic clock.
//!
//! librdkafka waits with `cnd_timedwait`, until a moment of the wall clock: where that clock is set back by an hour, its
//! threads wait an hour longer, and the node falls silent though it lives. This process has a `cnd_timedwait` of its own
//! that waits as long as there was left when it was called, whatever becomes of the wall clock.

use std::ffi::{c_int, c_long, c_void};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A clock that is set between the two looks at it would be a long wait; librdkafka looks at a monotonic clock after
/// each and waits for the rest.
const MAX_WAIT: Duration = Duration::from_secs(1);
const CLOCK_MONOTONIC: c_int = 1;
const ETIMEDOUT: c_int = 110;
/// What C11's `threads.h` of glibc calls them.
const THRD_SUCCESS: c_int = 0;
const THRD_ERROR: c_int = 2;
const THRD_TIMEDOUT: c_int = 4;

#[repr(C)]
struct Timespec {
    seconds: c_long,
    nanoseconds: c_long,
}

unsafe extern "C" {
    fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int;
    fn pthread_cond_clockwait(
        condition: *mut c_void,
        mutex: *mut c_void,
        clock: c_int,
        until: *const Timespec,
    ) -> c_int;
}

/// How long it is until a moment of the wall clock.
fn left(until: &Timespec) -> Duration {
    let since_1970 = |time: &Timespec| {
        let seconds = u64::try_from(time.seconds).unwrap_or(0);
        Duration::new(seconds, u32::try_from(time.nanoseconds).unwrap_or(0))
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_1970(until).saturating_sub(now).min(MAX_WAIT)
}

/// Takes the place of the C library's function of this name for everything that is linked into this process.
///
/// # Safety
/// As of the function in C: an initialised condition, a mutex that is locked, a readable time.
#[unsafe(no_mangle)]
unsafe extern "C" fn cnd_timedwait(condition: *mut c_void, mutex: *mut c_void, until: *const Timespec) -> c_int {
    let mut now = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: the pointer is to a value of ours; whoever calls gives a time that can be read.
    let (got, left) = unsafe { (clock_gettime(CLOCK_MONOTONIC, &raw mut now), left(&*until)) };
    if got != 0 {
        return THRD_ERROR;
    }
    let nanoseconds = now.nanoseconds + c_long::from(left.subsec_nanos());
    let until = Timespec {
        seconds: now.seconds + left.as_secs() as c_long + nanoseconds / 1_000_000_000,
        nanoseconds: nanoseconds % 1_000_000_000,
    };
    // SAFETY: glibc's `cnd_t` and `mtx_t` are its `pthread_cond_t` and `pthread_mutex_t`, and whoever calls gives valid ones.
    match unsafe { pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &raw const until) } {
        0 => THRD_SUCCESS,
        ETIMEDOUT => THRD_TIMEDOUT,
        _ => THRD_ERROR,
    }
}

/// Keeps the linker from leaving the function out where nothing else of this file is asked for.
#[used]
static KEPT: unsafe extern "C" fn(*mut c_void, *mut c_void, *const Timespec) -> c_int = cnd_timedwait;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[repr(C, align(8))]
    struct Opaque([u8; 64]);

    unsafe extern "C" {
        fn cnd_init(condition: *mut c_void) -> c_int;
        fn mtx_init(mutex: *mut c_void, kind: c_int) -> c_int;
        fn mtx_lock(mutex: *mut c_void) -> c_int;
    }

    fn wait(from_now: impl Fn(Duration) -> Duration) -> (c_int, Duration) {
        let (mut condition, mut mutex) = (Opaque([0; 64]), Opaque([0; 64]));
        let (condition, mutex) = ((&raw mut condition).cast(), (&raw mut mutex).cast());
        let until = from_now(SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
        let until = Timespec { seconds: until.as_secs() as c_long, nanoseconds: until.subsec_nanos().into() };
        let begun = Instant::now();
        // SAFETY: both are initialised and outlive the calls; the mutex is locked by this thread.
        let result = unsafe {
            assert_eq!((cnd_init(condition), mtx_init(mutex, 0), mtx_lock(mutex)), (0, 0, 0));
            cnd_timedwait(condition, mutex, &raw const until)
        };
        (result, begun.elapsed())
    }

    #[test]
    fn a_wait_is_as_long_as_it_was_when_it_began() {
        let (result, took) = wait(|now| now + Duration::from_millis(120));
        assert_eq!(result, THRD_TIMEDOUT);
        assert!(took >= Duration::from_millis(110), "{took:?}");
        assert_eq!(wait(|now| now - Duration::from_secs(3600)).0, THRD_TIMEDOUT);
    }

    #[test]
    fn a_clock_that_was_set_back_stops_nobody_for_an_hour() {
        // As if the clock had been an hour ahead when the caller looked at it.
        let (result, took) = wait(|now| now + Duration::from_secs(3600));
        assert_eq!(result, THRD_TIMEDOUT);
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
}
