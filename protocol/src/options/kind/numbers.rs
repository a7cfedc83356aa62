//! Times, rates, counts and flags.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Control, Kind, MessageWriter, nullable, plain};
use crate::fields::{Fields, ReadError};
use crate::limits;
use crate::options::people::{self, Wrong};
use crate::options::schema;

/// A length of time.
pub(crate) struct Time {
    min: Duration,
    max: Duration,
    /// The minimum itself is too little.
    above_min: bool,
}

impl Time {
    pub const fn between(min: Duration, max: Duration) -> Self {
        Self { min, max, above_min: false }
    }

    /// More than no time.
    pub const fn up_to(max: Duration) -> Self {
        Self { min: Duration::ZERO, max, above_min: true }
    }
}

impl Kind for Time {
    type Value = Duration;

    /// Seconds, rounded to the nanosecond.
    fn read(&self, fields: &Fields, wire: &'static str) -> Result<Option<Duration>, ReadError> {
        let Some(seconds) = fields.non_negative(wire)? else { return Ok(None) };
        let duration = Duration::try_from_secs_f64(seconds);
        duration.map(Some).map_err(|_| ReadError::bad(wire, format!("{seconds:?} seconds is too long")))
    }

    fn write(&self, wire: &'static str, value: &Duration, message: &mut MessageWriter) {
        // Whole seconds as integers: a peer that reads the specification's `0` as an integer keeps working.
        if value.subsec_nanos() == 0 {
            message.push(wire, &value.as_secs());
        } else {
            message.push(wire, &value.as_secs_f64());
        }
    }

    fn parse(&self, given: &Value) -> Result<Duration, Wrong> {
        people::duration(given)
    }

    fn problem(&self, value: &Duration) -> Option<String> {
        let Self { min, max, above_min } = *self;
        if above_min {
            return (*value <= min || *value > max)
                .then(|| format!("is {value:?}; give more than 0 and at most {max:?}"));
        }
        (!(min..=max).contains(value)).then(|| format!("is {value:?}; give {min:?} to {max:?}"))
    }

    fn shown(&self, value: &Duration) -> Value {
        value.as_secs_f64().into()
    }

    fn schema(&self) -> Value {
        // What is more than nothing and would be rounded to it is refused.
        let min = self.min.max(Duration::from_nanos(1));
        let is_zero_right = self.min.is_zero() && !self.above_min;
        let schema = if is_zero_right { schema::duration_or_zero } else { schema::duration };
        schema(min.as_secs_f64(), self.max.as_secs_f64())
    }

    fn shown_schema(&self) -> Value {
        plain("number")
    }
}

/// A value that may be missing; on the wire zero stands for that, too.
pub(crate) struct Maybe<K>(pub K);

impl<K: Kind<Value: Default + PartialEq>> Kind for Maybe<K> {
    type Value = Option<K::Value>;

    fn read(&self, fields: &Fields, wire: &'static str) -> Result<Option<Self::Value>, ReadError> {
        let read = self.0.read(fields, wire)?;
        Ok(read.map(|value| Some(value).filter(|value| *value != K::Value::default())))
    }

    fn write(&self, wire: &'static str, value: &Self::Value, message: &mut MessageWriter) {
        if let Some(value) = value {
            self.0.write(wire, value, message);
        }
    }

    fn parse(&self, given: &Value) -> Result<Self::Value, Wrong> {
        self.0.parse(given).map(Some)
    }

    fn problem(&self, value: &Self::Value) -> Option<String> {
        self.0.problem(value.as_ref()?)
    }

    fn shown(&self, value: &Self::Value) -> Value {
        value.as_ref().map_or(Value::Null, |value| self.0.shown(value))
    }

    fn schema(&self) -> Value {
        self.0.schema()
    }

    fn shown_schema(&self) -> Value {
        json!({"anyOf": [self.0.shown_schema(), {"type": "null"}]})
    }

    fn control(&self) -> Control {
        self.0.control()
    }
}

/// A number of requests; the specification writes 0 for "no such limit".
pub(crate) struct Amount;

impl Kind for Amount {
    type Value = Option<u64>;

    fn read(&self, fields: &Fields, wire: &'static str) -> Result<Option<Option<u64>>, ReadError> {
        Ok(fields.u64(wire)?.map(|n| Some(n).filter(|n| *n > 0)))
    }

    fn write(&self, wire: &'static str, value: &Option<u64>, message: &mut MessageWriter) {
        message.push(wire, &value.unwrap_or(0));
    }

    fn parse(&self, given: &Value) -> Result<Option<u64>, Wrong> {
        let number = people::whole_number(given)?;
        if (1..=limits::MAX_COUNT).contains(&number) { Ok(Some(number)) } else { Err(Wrong::Kind) }
    }

    fn shown(&self, value: &Option<u64>) -> Value {
        json!(value)
    }

    fn schema(&self) -> Value {
        schema::whole_number(1, limits::MAX_COUNT)
    }

    fn shown_schema(&self) -> Value {
        nullable("integer")
    }
}

/// A number of things, at least 1.
pub(crate) struct Count {
    pub max: u32,
    /// What is counted.
    pub what: &'static str,
}

impl Kind for Count {
    type Value = u32;

    fn read(&self, fields: &Fields, wire: &'static str) -> Result<Option<u32>, ReadError> {
        Ok(fields.u64(wire)?.map(|n| u32::try_from(n).unwrap_or(u32::MAX)))
    }

    fn write(&self, wire: &'static str, value: &u32, message: &mut MessageWriter) {
        message.push(wire, value);
    }

    fn parse(&self, given: &Value) -> Result<u32, Wrong> {
        let number = u32::try_from(people::whole_number(given)?).map_err(|_| Wrong::Kind)?;
        if (1..=self.max).contains(&number) { Ok(number) } else { Err(Wrong::Kind) }
    }

    fn problem(&self, value: &u32) -> Option<String> {
        let Self { max, what } = self;
        (!(1..=*max).contains(value)).then(|| format!("is {value}; give 1 to {max} {what}"))
    }

    fn shown(&self, value: &u32) -> Value {
        (*value).into()
    }

    fn schema(&self) -> Value {
        schema::whole_number(1, self.max.into())
    }

    fn shown_schema(&self) -> Value {
        plain("integer")
    }
}

/// Any whole number.
pub(crate) struct Number;

impl Kind for Number {
    type Value = u64;

    fn read(&self, fields: &Fields, wire: &'static str) -> Result<Option<u64>, ReadError> {
        fields.u64(wire)
    }

    fn write(&self, wire: &'static str, value: &u64, message: &mut MessageWriter) {
        message.push(wire, value);
    }

    fn parse(&self, given: &Value) -> Result<u64, Wrong> {
        people::whole_number(given)
    }

    fn shown(&self, value: &u64) -> Value {
        (*value).into()
    }

    fn schema(&self) -> Value {
        schema::whole_number(0, u64::MAX)
    }

    fn shown_schema(&self) -> Value {
        plain("integer")
    }
}

/// Requests per second.
pub(crate) struct Rate;

impl Kind for Rate {
    type Value = f64;

    fn read(&self, fields: &Fields, wire: &'static str) -> Result<Option<f64>, ReadError> {
        fields.non_negative(wire)
    }

    fn write(&self, wire: &'static str, value: &f64, message: &mut MessageWriter) {
        message.push(wire, value);
    }

    fn parse(&self, given: &Value) -> Result<f64, Wrong> {
        people::rate(given)
    }

    fn problem(&self, value: &f64) -> Option<String> {
        let (min, max) = (limits::MIN_THROUGHPUT_PER_S, limits::MAX_THROUGHPUT_PER_S);
        (!(min..=max).contains(value)).then(|| format!("is {value:?}; give one request an hour to {max} a second"))
    }

    fn shown(&self, value: &f64) -> Value {
        (*value).into()
    }

    fn schema(&self) -> Value {
        schema::rate()
    }

    fn shown_schema(&self) -> Value {
        plain("number")
    }
}

/// Yes or no.
pub(crate) struct YesNo;

impl Kind for YesNo {
    type Value = bool;

    fn read(&self, fields: &Fields, wire: &'static str) -> Result<Option<bool>, ReadError> {
        fields.flag(wire)
    }

    fn write(&self, wire: &'static str, value: &bool, message: &mut MessageWriter) {
        message.push(wire, value);
    }

    fn parse(&self, given: &Value) -> Result<bool, Wrong> {
        people::flag(given)
    }

    fn shown(&self, value: &bool) -> Value {
        (*value).into()
    }

    fn schema(&self) -> Value {
        schema::flag()
    }

    fn shown_schema(&self) -> Value {
        plain("boolean")
    }

    fn control(&self) -> Control {
        Control::Flag
    }
}

/// No, yes, or yes after some time; on the wire the time, which is 0 for yes.
pub(crate) struct YesAfter;

impl Kind for YesAfter {
    type Value = Option<Duration>;

    fn read(&self, fields: &Fields, wire: &'static str) -> Result<Option<Self::Value>, ReadError> {
        Time::up_to(limits::MAX_DURATION).read(fields, wire).map(|read| read.map(Some))
    }

    fn write(&self, wire: &'static str, value: &Self::Value, message: &mut MessageWriter) {
        value.iter().for_each(|after| Time::up_to(limits::MAX_DURATION).write(wire, after, message));
    }

    fn parse(&self, given: &Value) -> Result<Self::Value, Wrong> {
        match people::flag(given) {
            Ok(is_on) => Ok(is_on.then_some(Duration::ZERO)),
            Err(_) => people::duration(given).map(Some).map_err(|_| Wrong::Kind),
        }
    }

    fn shown(&self, value: &Self::Value) -> Value {
        json!(value.map(|after| after.as_secs_f64()))
    }

    fn schema(&self) -> Value {
        schema::flag_or_duration(limits::MAX_DURATION.as_secs_f64())
    }

    fn shown_schema(&self) -> Value {
        nullable("number")
    }
}
