//! How a body is coded for its way (Content-Encoding, RFC 9110 8.4).

/// A body's coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Identity,
    Gzip,
    Deflate,
    /// One that is not decoded here, or several: its name, cut off and filled up with zeros.
    Other([u8; Coding::NAME_BYTES]),
}

impl Coding {
    const NAME_BYTES: usize = 16;

    /// The coding of that name.
    pub(crate) fn named(name: &[u8]) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("identity") {
            Self::Identity
        } else if is("gzip") || is("x-gzip") {
            Self::Gzip
        } else if is("deflate") {
            Self::Deflate
        } else {
            let mut kept = [0; Self::NAME_BYTES];
            let length = name.len().min(Self::NAME_BYTES);
            kept[..length].copy_from_slice(&name[..length]);
            Self::Other(kept)
        }
    }

    /// This coding, and then another one over it.
    pub(super) fn followed_by(self, outer: Self) -> Self {
        match (self, outer) {
            (Self::Identity, outer) => outer,
            (inner, Self::Identity) => inner,
            _ => Self::named(b"several codings"),
        }
    }

    /// Its name, for people.
    pub fn name(&self) -> String {
        match self {
            Self::Identity => "identity".into(),
            Self::Gzip => "gzip".into(),
            Self::Deflate => "deflate".into(),
            Self::Other(name) => {
                let length = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
                String::from_utf8_lossy(&name[..length]).into_owned()
            }
        }
    }
}
