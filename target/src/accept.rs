//! Which of two representations of `/metrics` a client prefers.

use std::cmp::Reverse;

/// How much a client wants a type: quality, how exactly it was named, how early. Greater is better.
type Wish = (u16, u8, Reverse<usize>);

/// Whether JSON is preferred to plain text by these values of `Accept`. Nothing said means text.
pub fn prefers_json<'a>(values: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut json: Option<Wish> = None;
    let mut text: Option<Wish> = None;
    let ranges = values.flat_map(|value| value.split(|byte| *byte == b','));
    for (position, range) in ranges.enumerate() {
        let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let quality = parts.find_map(quality_thousandths).unwrap_or(1000);
        let of = |kind: &[u8], subtype: &[u8]| exactness(name, kind, subtype).map(|exact| (exact, quality, position));
        note(&mut json, of(b"application", b"json"));
        note(&mut text, of(b"text", b"plain"));
    }
    match (json, text) {
        (Some(json), Some(text)) => json.0 > 0 && json > text,
        (Some(json), None) => json.0 > 0,
        (None, _) => false,
    }
}

/// A type is wanted as its most exact range says, whatever the others say.
fn note(wish: &mut Option<Wish>, found: Option<(u8, u16, usize)>) {
    if let Some((exact, quality, position)) = found
        && wish.is_none_or(|(_, exact_before, _)| exact > exact_before)
    {
        *wish = Some((quality, exact, Reverse(position)));
    }
}

/// 3 for the type itself, 2 for `kind/*`, 1 for `*/*`, `None` for anything else.
fn exactness(range: &[u8], kind: &[u8], subtype: &[u8]) -> Option<u8> {
    let slash = range.iter().position(|byte| *byte == b'/')?;
    let (range_kind, range_subtype) = (&range[..slash], &range[slash + 1..]);
    if range_kind == b"*" && range_subtype == b"*" {
        Some(1)
    } else if !range_kind.eq_ignore_ascii_case(kind) {
        None
    } else if range_subtype == b"*" {
        Some(2)
    } else {
        range_subtype.eq_ignore_ascii_case(subtype).then_some(3)
    }
}

/// `q=0.5` as 500; `None` for another parameter. What cannot be read counts as not wanted.
fn quality_thousandths(parameter: &[u8]) -> Option<u16> {
    let value = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="))?;
    let quality: f32 = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    // A float cast saturates and makes 0 of NaN.
    Some((quality.clamp(0.0, 1.0) * 1000.0) as u16)
}

#[cfg(test)]
mod tests {
    use super::prefers_json;

    #[test]
    fn the_more_wanted_type_wins() {
        let cases: &[(&[&str], bool)] = &[
            (&[], false),
            (&["*/*"], false),
            (&["application/json"], true),
            (&["Application/JSON; charset=utf-8"], true),
            (&["application/json, text/plain, */*"], true),
            (&["text/plain, application/json"], false),
            (&["text/plain;q=0.5, application/json;q=0.9"], true),
            (&["text/plain;q=0.5", "application/json;q=0.9"], true),
            (&["application/json;q=0.1, */*"], false),
            (&["application/json, */*"], true),
            (&["application/json;q=0"], false),
            (&["application/json;q=nonsense"], false),
            (&["application/json;q=NaN"], false),
            (&["application/*"], true),
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], false),
            (&["application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"], false),
            (&["json", "/", ";;;,,,"], false),
        ];
        for (accept, expected) in cases {
            assert_eq!(prefers_json(accept.iter().map(|value| value.as_bytes())), *expected, "{accept:?}");
        }
    }
}
