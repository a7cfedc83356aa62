//! PEM as people keep it: with a byte order mark, text around and between the blocks, any line ends, OpenSSL's own
//! labels. Pure.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::der;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// One block.
pub(crate) struct Block {
    /// What it says that it is: `CERTIFICATE`.
    pub label: String,
    /// Between its first and its last line, without blanks at the ends of lines.
    lines: Vec<Vec<u8>>,
    /// Whether its last line is there.
    ended: bool,
}

/// All blocks of a text; what stands elsewhere says nothing.
pub(crate) fn blocks(text: &[u8]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    for line in text.split(|byte| matches!(byte, b'\n' | b'\r')).flat_map(as_two) {
        let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).trim_ascii();
        if let Some(label) = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(DASHES)) {
            let label = String::from_utf8_lossy(label).into_owned();
            blocks.push(Block { label, lines: Vec::new(), ended: false });
            inside = true;
        } else if let Some(block) = blocks.last_mut().filter(|_| inside) {
            if line.starts_with(END) {
                (block.ended, inside) = (true, false);
            } else if !line.is_empty() {
                block.lines.push(line.to_owned());
            }
        }
    }
    blocks
}

/// A line; or two of them, where files were joined that did not end with one.
fn as_two(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let middle = b"----------BEGIN ";
    let at = line.windows(middle.len()).position(|part| part == middle).map_or(line.len(), |at| at + DASHES.len());
    let (one, other) = line.split_at(at);
    [one, other].into_iter().filter(|line| !line.is_empty())
}

/// The blocks of a text and nothing else: shorter, and ASCII whatever stood around them. Without any the error says what
/// it is instead of a `key` or `certificate`, as `what` says.
pub fn pem_only(text: &[u8], what: &str) -> Result<String, String> {
    let mut only = String::new();
    for Block { label, lines, ended } in blocks(text) {
        only.push_str(&format!("-----BEGIN {label}-----\n"));
        for line in lines {
            only.push_str(&String::from_utf8_lossy(&line));
            only.push('\n');
        }
        if ended {
            only.push_str(&format!("-----END {label}-----\n"));
        }
    }
    if only.is_empty() { Err(not_pem(text, what)) } else { Ok(only) }
}

impl Block {
    /// Whether it is a certificate, by any of its names.
    pub fn is_certificate(&self) -> bool {
        matches!(self.label.as_str(), "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE")
    }

    /// Whether it is a private key, readable or not.
    pub fn is_key(&self) -> bool {
        self.label.ends_with("PRIVATE KEY")
    }

    /// Whether it needs a password: PKCS#8 says so in its label, the form before that in a header.
    pub fn is_encrypted(&self) -> bool {
        let in_header = |line: &Vec<u8>| line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
        self.label == "ENCRYPTED PRIVATE KEY" || self.lines.iter().any(in_header)
    }

    /// The certificate in it.
    pub fn certificate(&self) -> Result<CertificateDer<'static>, String> {
        let der = self.der()?;
        let certificate = der::first(&der).ok_or("holds a certificate that is cut short")?;
        Ok(CertificateDer::from(certificate.to_vec()))
    }

    /// Its bytes.
    pub fn der(&self) -> Result<Vec<u8>, String> {
        if !self.ended {
            return Err(format!("has a -----BEGIN {}----- without its -----END line", self.label));
        }
        // The decoder wants a block whose label it knows; which one does not matter to what is inside.
        let mut text = b"-----BEGIN CERTIFICATE-----\n".to_vec();
        for line in self.lines.iter().filter(|line| !line.contains(&b':')) {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        text.extend_from_slice(b"-----END CERTIFICATE-----\n");
        let decoded = CertificateDer::from_pem_slice(&text);
        decoded.map(|der| der.to_vec()).map_err(|_| format!("has a block {} that is not base64", self.label))
    }
}

/// What bytes are that hold no block, for the error: people have the right file in another form.
pub(crate) fn not_pem(bytes: &[u8], what: &str) -> String {
    let convert = if what == "key" { "openssl pkey -inform der" } else { "openssl x509 -inform der" };
    match bytes {
        [0x30, 0x80..=0x84, ..] => format!("is DER and not PEM; convert it: {convert} -in FILE -out FILE.pem"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => "is UTF-16; save it as ASCII".into(),
        _ => format!("holds no {what} in PEM (a block that begins with -----BEGIN)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "MAMCAQE=";

    fn labels(text: impl AsRef<[u8]>) -> Vec<(String, bool)> {
        blocks(text.as_ref()).into_iter().map(|block| (block.label.clone(), block.der().is_ok())).collect()
    }

    #[test]
    fn blocks_are_found_whatever_stands_around_them() {
        let block = |label: &str| format!("-----BEGIN {label}-----\n{BODY}\n-----END {label}-----\n");
        let two =
            format!("# Caf\u{e9}\n  subject=x\n{}between\n{}", block("CERTIFICATE"), block("TRUSTED CERTIFICATE"));
        let expected = [("CERTIFICATE".to_owned(), true), ("TRUSTED CERTIFICATE".to_owned(), true)];
        assert_eq!(labels(&two), expected);
        assert_eq!(labels(two.replace('\n', "\r\n")), expected);
        assert_eq!(labels(two.replace('\n', "\r")), expected);
        assert_eq!(labels(two.replace('\n', " \t\n  ")), expected);
        assert_eq!(labels(format!("\u{feff}{}", block("CERTIFICATE"))), expected[..1]);
        let latin_1: Vec<u8> = two.chars().map(|c| u8::try_from(u32::from(c)).expect("Latin-1")).collect();
        assert_eq!(labels(&latin_1), expected);
        let only = pem_only(&latin_1, "certificate");
        assert_eq!(only, Ok(block("CERTIFICATE") + &block("TRUSTED CERTIFICATE")));
        let joined = format!("{}{}", block("CERTIFICATE").trim_end(), block("CERTIFICATE"));
        assert_eq!(labels(joined).len(), 2);
    }

    #[test]
    fn what_is_broken_or_locked_is_told() {
        let cut = "-----BEGIN CERTIFICATE-----\nMAMC";
        assert!(blocks(cut.as_bytes())[0].der().is_err_and(|e| e.contains("-----END")));
        let bad = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----";
        assert!(blocks(bad.as_bytes())[0].der().is_err_and(|e| e.contains("base64")));
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMAMCAQE=\n-----END RSA PRIVATE KEY-----";
        let only = pem_only(old.as_bytes(), "key").expect("a block");
        assert!(blocks(old.as_bytes())[0].is_encrypted() && blocks(only.as_bytes())[0].is_encrypted());
        assert!(blocks(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")[0].is_encrypted());
        assert!(not_pem(&[0x30, 0x82], "certificate").contains("DER"));
        let utf_16: Vec<u8> = "-----BEGIN".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(not_pem(&utf_16, "key").contains("UTF-16"));
        assert!(pem_only(b"nothing", "key").is_err_and(|e| e.contains("no key")));
        assert!(not_pem(b"nothing", "certificate").contains("-----BEGIN"));
    }
}
