//! The law that counts obey, in words.

use crate::Totals;

/// `1,000 sent = 990 answered + 10 failed`, and what of the other terms there is. `check_failed` of the failed ones have a
/// response.
pub fn balance(totals: &Totals, check_failed: u64) -> String {
    let Totals { sent, answered, failed, skipped, dropped, resent, unsolicited, due } = *totals;
    let n = thousands;
    let mut line = format!("{} sent = {} answered + {} failed", n(sent), n(answered), n(failed));
    if check_failed > 0 {
        line += &format!(", {} of them by a check of their response", n(check_failed));
    }
    if skipped > 0 || dropped > 0 {
        line += &format!("; {} due = {} sent + {} skipped + {} dropped", n(due), n(sent), n(skipped), n(dropped));
    }
    if resent > 0 {
        line += &format!("; {} resent", n(resent));
    }
    if unsolicited > 0 {
        line += &format!("; {} unsolicited", n(unsolicited));
    }
    line
}

/// `1,234,567`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
