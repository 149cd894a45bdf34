//! Keys as text: PEM (RFC 7468), and lex-node's base64 of it. Strict: one block, nothing beside it but white space.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The columns of a PEM block.
const COLUMNS: usize = 64;
/// The columns of Ruby's `Base64.encode64`, by which lex-node writes a PEM once more.
const RUBY_COLUMNS: usize = 60;

/// A block's label, such as `PRIVATE KEY`, and its bytes. `None`: it is no PEM.
pub(crate) fn read(text: &str) -> Option<(&str, Zeroizing<Vec<u8>>)> {
    let (label, rest) = text.trim().strip_prefix("-----BEGIN ")?.split_once("-----")?;
    let body = rest.strip_suffix("-----")?.strip_suffix(label)?.strip_suffix("-----END ")?;
    // Never longer than its capacity: what grows leaves a copy behind.
    let mut base64 = Zeroizing::new(String::with_capacity(body.len()));
    base64.extend(body.chars().filter(|character| !character.is_ascii_whitespace()));
    Some((label, Zeroizing::new(STANDARD.decode(base64.as_bytes()).ok()?)))
}

/// A block with this label.
pub(crate) fn write(label: &str, bytes: &[u8]) -> Zeroizing<String> {
    let lines = lines(&Zeroizing::new(STANDARD.encode(bytes)), COLUMNS);
    let [begin, end] = ["BEGIN", "END"].map(|word| format!("-----{word} {label}-----\n"));
    let mut text = Zeroizing::new(String::with_capacity(begin.len() + lines.len() + end.len()));
    text.extend([&*begin, &*lines, &*end]);
    text
}

/// Text in base64 as Ruby writes it: lines of 60 columns, each with its end.
pub(crate) fn write_ruby(text: &str) -> String {
    lines(&STANDARD.encode(text), RUBY_COLUMNS).to_string()
}

/// Text that Ruby wrote in base64. `None`: it is none, or no UTF-8.
pub(crate) fn read_ruby(base64: &str) -> Option<String> {
    let base64: String = base64.chars().filter(|character| *character != '\n').collect();
    String::from_utf8(STANDARD.decode(base64).ok()?).ok()
}

fn lines(base64: &str, columns: usize) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(base64.len() + base64.len() / columns + 1));
    for (at, character) in base64.chars().enumerate() {
        if at > 0 && at % columns == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push('\n');
    text
}
