//! `counters!` makes, of one line for each number, the structs that hold it and the list that everything else loops over.

/// How a number behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows: nodes and seconds add up.
    Counter,
    /// The state at the end of a second: nodes add up, seconds do not.
    Gauge,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Requests, connections and the like.
    Events,
    /// Bytes.
    Bytes,
    /// Nanoseconds.
    Nanoseconds,
}

/// One number of `S`.
#[derive(Clone, Copy, Debug)]
pub struct Number<S> {
    /// Its name: of the field, in messages and wherever else it is written.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What it counts.
    pub unit: Unit,
    pub(crate) implied: fn(&S) -> Option<u64>,
    /// Its Prometheus series by driver, and what that says; `None`: it has no series, or several.
    pub series: Option<(&'static str, &'static str)>,
    pub(crate) of: fn(&S) -> u64,
    pub(crate) of_mut: fn(&mut S) -> &mut u64,
}

impl<S> Number<S> {
    /// Its value.
    pub fn of(&self, counts: &S) -> u64 {
        (self.of)(counts)
    }

    /// What it is where a message or a stored text leaves it out, by the numbers before it; `None`: it is never left out.
    pub fn implied(&self, counts: &S) -> Option<u64> {
        (self.implied)(counts)
    }

    /// Its value, to be changed.
    pub fn of_mut<'a>(&self, counts: &'a mut S) -> &'a mut u64 {
        (self.of_mut)(counts)
    }
}

/// Declares `Counts` (of a second) and `Totals` (of a whole test). A number is one line:
///
/// ```text
/// name: Kind of Unit, usual | rare | decided, "Prometheus series": "what it says";
/// ```
///
/// A `rare` one is left out of messages where it is 0, and one that is `decided` where it is what [`Counts::decided`](crate::Counts::decided) says.
/// `both` are in both structs, `totals` are what `Counts` has as a method, `second` are in `Counts` alone, and `maps` count by
/// a key there. Messages have the numbers in this order, and stored totals are a list in it: a new one of `Totals` goes to the
/// end of the second `both`.
macro_rules! counters {
    (
        both { $($a:tt)* }
        totals { $($b:tt)* }
        both { $($c:tt)* }
        second { $($d:tt)* }
        maps { $($(#[$map_doc:meta])* $map:ident: $key:ty,)* }
    ) => {
        counters!(@struct
            /// What a node counted in one second.
            #[derive(Clone, Debug, Default, PartialEq, Eq)]
            Counts { $($a)* $($c)* $($d)* } { $($(#[$map_doc])* $map: $key,)* }
        );
        counters!(@struct
            /// The counts whose balance proves that nothing was lost: once a test is over, `sent = answered + failed` and
            /// `due = sent + skipped + dropped`.
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
            Totals { $($a)* $($b)* $($c)* } {}
        );

        impl Counts {
            /// The counts that a whole test adds up.
            pub fn totals(&self) -> Totals {
                counters!(@totals self { $($a)* $($c)* } { $($b)* })
            }

            fn add_maps(&mut self, other: &Self) {
                $(add_each(&mut self.$map, &other.$map);)*
            }

            fn take_maps_away(&mut self, part: &Self) {
                $(take_each_away(&mut self.$map, &part.$map);)*
            }
        }
    };
    (@struct
        $(#[$struct_doc:meta])* $struct:ident {
            $($(#[$doc:meta])* $name:ident: $kind:ident of $unit:ident, $presence:ident $(, $series:literal: $help:literal)?;)*
        }
        { $($(#[$map_doc:meta])* $map:ident: $key:ty,)* }
    ) => {
        $(#[$struct_doc])*
        pub struct $struct {
            $($(#[$doc])* pub $name: u64,)*
            $($(#[$map_doc])* pub $map: BTreeMap<$key, u64>,)*
        }

        impl $struct {
            /// Slots of the schedule that something became of: sent, skipped and dropped together.
            pub fn decided(&self) -> u64 {
                sum([self.sent, self.skipped, self.dropped].iter())
            }

            /// Every number, in the order of the fields.
            pub const NUMBERS: &[Number<Self>] = &[$(Number {
                name: stringify!($name),
                kind: Kind::$kind,
                unit: Unit::$unit,
                implied: counters!(@implied $presence),
                series: counters!(@series $($series: $help)?),
                of: |counts| counts.$name,
                of_mut: |counts| &mut counts.$name,
            },)*];
        }
    };
    (@totals $self:ident
        { $($(#[$doc:meta])* $name:ident: $kind:ident of $unit:ident, $presence:ident $(, $series:literal: $help:literal)?;)* }
        { $($(#[$b_doc:meta])* $b:ident: $b_kind:ident of $b_unit:ident, $b_presence:ident $(, $b_series:literal: $b_help:literal)?;)* }
    ) => {
        Totals { $($name: $self.$name,)* $($b: $self.$b(),)* }
    };
    (@implied usual) => { |_| None };
    (@implied rare) => { |_| Some(0) };
    (@implied decided) => { |counts| Some(counts.decided()) };
    (@series) => { None };
    (@series $series:literal: $help:literal) => { Some(($series, $help)) };
}

pub(crate) use counters;
