//! As much of DER as it takes to name what a certificate or a key is. It proves nothing: that is webpki's.

/// Tags of the values that are looked into.
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_3: u8 = 0xa3;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P_256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P_384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const P_521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];
const SECP256K1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x0a];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const ED448: &[u8] = &[0x2b, 0x65, 0x71];
const DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// One value: its tag, what it holds, and all of its bytes.
#[derive(Clone, Copy)]
struct Value<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
}

/// The value that the input begins with; the input is what follows it then.
fn next<'a>(input: &mut &'a [u8]) -> Option<Value<'a>> {
    let (&tag, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long => {
            let bytes = usize::from(long & 0x7f);
            // More than 4 bytes would be a value of gigabytes, none an indefinite length, which DER does not have.
            let (length, rest) = rest.split_at_checked(bytes).filter(|_| (1..=4).contains(&bytes))?;
            (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
    };
    let (content, after) = rest.split_at_checked(length)?;
    let whole = &input[..input.len() - after.len()];
    *input = after;
    Some(Value { tag, content, whole })
}

/// The next value, if it has this tag.
fn expect<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    next(input).filter(|value| value.tag == tag).map(|value| value.content)
}

/// The first value alone: OpenSSL's `TRUSTED CERTIFICATE` has another behind the certificate.
pub(crate) fn first(der: &[u8]) -> Option<&[u8]> {
    next(&mut &*der).map(|value| value.whole)
}

/// What a certificate says of itself.
pub(crate) struct Certificate<'a> {
    /// Its SubjectPublicKeyInfo, whole.
    pub public_key: &'a [u8],
    subject: &'a [u8],
    extensions: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Reads one; `None`: it is not one.
    pub fn read(der: &'a [u8]) -> Option<Self> {
        let mut certificate = expect(&mut &*der, SEQUENCE)?;
        let mut fields = expect(&mut certificate, SEQUENCE)?;
        // The version, but for the first one.
        if fields.first() == Some(&CONTEXT_0) {
            next(&mut fields)?;
        }
        expect(&mut fields, INTEGER)?;
        // Algorithm, issuer, validity.
        for _ in 0..3 {
            expect(&mut fields, SEQUENCE)?;
        }
        let subject = expect(&mut fields, SEQUENCE)?;
        let public_key = next(&mut fields).filter(|value| value.tag == SEQUENCE)?.whole;
        let mut extensions: &[u8] = &[];
        while let Some(value) = next(&mut fields) {
            if value.tag == CONTEXT_3 {
                extensions = expect(&mut &*value.content, SEQUENCE)?;
            }
        }
        Some(Self { public_key, subject, extensions })
    }

    /// Whether it names its servers the way that is usual now, beside its subject.
    pub fn has_alternative_names(&self) -> bool {
        let mut rest = self.extensions;
        std::iter::from_fn(|| expect(&mut rest, SEQUENCE))
            .any(|mut extension| expect(&mut extension, OBJECT_ID) == Some(SUBJECT_ALT_NAME))
    }

    /// The common names of its subject.
    pub fn common_names(&self) -> impl Iterator<Item = &'a str> {
        let mut rest = self.subject;
        let sets = std::iter::from_fn(move || expect(&mut rest, SET));
        sets.filter_map(|mut set| {
            let mut attribute = expect(&mut set, SEQUENCE)?;
            let is_name = expect(&mut attribute, OBJECT_ID)? == COMMON_NAME;
            next(&mut attribute).filter(|_| is_name).and_then(|name| std::str::from_utf8(name.content).ok())
        })
    }
}

/// Names the key of a SubjectPublicKeyInfo: `RSA of 2048 bits`, `P-256`.
pub(crate) fn public_key_name(der: &[u8]) -> String {
    let name = || {
        let mut fields = expect(&mut &*der, SEQUENCE)?;
        let algorithm = expect(&mut fields, SEQUENCE)?;
        let bits = expect(&mut fields, BIT_STRING)?;
        // The first byte counts unused bits.
        let rsa = bits.get(1..).and_then(|mut key| expect(&mut expect(&mut key, SEQUENCE)?, INTEGER));
        algorithm_name(algorithm, rsa)
    };
    name().unwrap_or_else(|| "of an unknown kind".into())
}

/// Names a private key in PKCS#8.
pub(crate) fn pkcs8_name(der: &[u8]) -> String {
    let name = || {
        let mut fields = expect(&mut &*der, SEQUENCE)?;
        expect(&mut fields, INTEGER)?;
        let algorithm = expect(&mut fields, SEQUENCE)?;
        let key = expect(&mut fields, OCTET_STRING)?;
        algorithm_name(algorithm, rsa_modulus(key))
    };
    name().unwrap_or_else(|| "of an unknown kind".into())
}

/// Names a private key in PKCS#1.
pub(crate) fn pkcs1_name(der: &[u8]) -> String {
    rsa_modulus(der).map_or_else(|| "of an unknown kind".into(), rsa_name)
}

/// Names a private key in SEC1; where it leaves out its curve, by its length.
pub(crate) fn sec1_name(der: &[u8]) -> String {
    let name = || {
        let mut fields = expect(&mut &*der, SEQUENCE)?;
        expect(&mut fields, INTEGER)?;
        let key = expect(&mut fields, OCTET_STRING)?;
        let curve = next(&mut fields).filter(|value| value.tag == CONTEXT_0);
        match curve.and_then(|value| expect(&mut &*value.content, OBJECT_ID)) {
            Some(curve) => Some(curve_name(curve)),
            None => Some(format!("EC of {} bytes", key.len())),
        }
    };
    name().unwrap_or_else(|| "of an unknown kind".into())
}

fn rsa_modulus(key: &[u8]) -> Option<&[u8]> {
    let mut fields = expect(&mut &*key, SEQUENCE)?;
    expect(&mut fields, INTEGER)?;
    expect(&mut fields, INTEGER)
}

fn rsa_name(modulus: &[u8]) -> String {
    let digits = modulus.iter().skip_while(|byte| **byte == 0);
    let bits = digits.clone().next().map_or(0, |top| digits.count() * 8 - top.leading_zeros() as usize);
    format!("RSA of {bits} bits")
}

fn algorithm_name(mut algorithm: &[u8], rsa: Option<&[u8]>) -> Option<String> {
    let id = expect(&mut algorithm, OBJECT_ID)?;
    Some(match id {
        RSA | RSA_PSS => rsa.map_or_else(|| "RSA".into(), rsa_name),
        EC => expect(&mut algorithm, OBJECT_ID).map_or_else(|| "EC".into(), curve_name),
        ED25519 => "Ed25519".into(),
        ED448 => "Ed448".into(),
        DSA => "DSA".into(),
        other => dotted(other),
    })
}

fn curve_name(id: &[u8]) -> String {
    match id {
        P_256 => "P-256".into(),
        P_384 => "P-384".into(),
        P_521 => "P-521".into(),
        SECP256K1 => "secp256k1".into(),
        other => dotted(other),
    }
}

/// An object identifier as it is written: `1.3.101.112`.
fn dotted(id: &[u8]) -> String {
    let mut numbers: Vec<u64> = Vec::new();
    let mut number = 0_u64;
    for byte in id {
        number = number.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            numbers.push(std::mem::take(&mut number));
        }
    }
    let Some((first, rest)) = numbers.split_first() else { return "of an unknown kind".into() };
    let root = (first / 40).min(2);
    let all = [root, first - root * 40].into_iter().chain(rest.iter().copied());
    all.map(|number| number.to_string()).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[test]
    fn a_certificate_says_what_it_is() {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::OrganizationName, "nobody");
        params.distinguished_name.push(DnType::CommonName, "localhost");
        let der = params.self_signed(&key).expect("a certificate").der().to_vec();
        let read = Certificate::read(&der).expect("a certificate");
        assert!(!read.has_alternative_names());
        assert!(read.common_names().any(|name| name == "localhost"));
        assert_eq!(public_key_name(read.public_key), "P-256");
        assert_eq!(pkcs8_name(&key.serialize_der()), "P-256");
        let named = CertificateParams::new(vec!["h".to_owned()]).expect("a name").self_signed(&key).expect("one");
        assert!(Certificate::read(named.der()).expect("a certificate").has_alternative_names());
        let trailing = [der.as_slice(), b"aux"].concat();
        assert_eq!(first(&trailing), Some(der.as_slice()));
    }

    #[test]
    fn identifiers_are_written_with_dots() {
        assert_eq!(dotted(ED448), "1.3.101.113");
        assert_eq!(dotted(RSA), "1.2.840.113549.1.1.1");
        assert_eq!(dotted(&[]), "of an unknown kind");
    }

    proptest! {
        #[test]
        fn no_bytes_upset_it(der in prop::collection::vec(any::<u8>(), 0..200), at in 0..400usize, byte in any::<u8>()) {
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new(vec!["h".to_owned()]).expect("a name");
            let mut spoilt = params.self_signed(&key).expect("one").der().to_vec();
            let length = spoilt.len();
            spoilt[at % length] = byte;
            for der in [&der[..], &spoilt, &spoilt[..at % length]] {
                if let Some(read) = Certificate::read(der) {
                    let _ = (read.common_names().count(), read.has_alternative_names(), public_key_name(read.public_key));
                }
                let _ = (pkcs8_name(der), pkcs1_name(der), sec1_name(der), first(der));
            }
        }
    }
}
