//! Texts as JSON has them, escaped a piece at a time: byte for byte as `serde_json` escapes a
//! whole one.

/// Bytes that are checked together.
const BLOCK: usize = 16;

/// How far a text has been escaped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct EscapePosition {
    /// Bytes of the text.
    text: usize,
    /// Bytes of the escape of the next one.
    escape: usize,
}

impl EscapePosition {
    /// Whether this number of bytes of the text is done.
    pub(super) fn is_at(self, bytes: usize) -> bool {
        self.text == bytes
    }
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// The letter of a byte that has a short escape.
fn letter(byte: u8) -> Option<u8> {
    Some(match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        _ => return None,
    })
}

/// The length of a text after it is escaped.
pub(super) fn escaped_bytes(text: &[u8]) -> usize {
    // A form of it that the compiler turns into one over many bytes at once.
    let count = |is: fn(u8) -> bool| -> usize {
        let blocks = text.chunks(BLOCK * 8);
        let each = blocks.map(|block| block.iter().map(|byte| u8::from(is(*byte))).sum::<u8>());
        each.map(usize::from).sum()
    };
    let short = count(|byte| {
        matches!(byte, b'"' | b'\\' | b'\t' | b'\n' | b'\r') || byte == 0x08 || byte == 0x0c
    });
    let special = count(is_special);
    text.len() + short + (special - short) * 5
}

/// Escapes the next part of `text`, as much as fits into `out`. Returns the number of bytes
/// written.
pub(super) fn fill(text: &[u8], place: &mut EscapePosition, out: &mut [u8]) -> usize {
    let mut filled = 0;
    while filled < out.len() && place.text < text.len() {
        let rest = &text[place.text..];
        if !is_special(rest[0]) {
            let copied = copy_plain(rest, &mut out[filled..]);
            place.text += copied;
            filled += copied;
            continue;
        }
        let (escape, bytes) = escaped(rest[0]);
        let rest = &escape[place.escape..bytes];
        let copied = rest.len().min(out.len() - filled);
        out[filled..filled + copied].copy_from_slice(&rest[..copied]);
        filled += copied;
        place.escape += copied;
        if place.escape == bytes {
            place.escape = 0;
            place.text += 1;
        }
    }
    filled
}

/// What stands for a byte, and how long that is.
fn escaped(byte: u8) -> ([u8; 6], usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    match letter(byte) {
        Some(letter) => ([b'\\', letter, 0, 0, 0, 0], 2),
        None => {
            let (high, low) = (
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            );
            ([b'\\', b'u', b'0', b'0', high, low], 6)
        }
    }
}

/// Copies bytes up to the first that has to be escaped.
fn copy_plain(from: &[u8], to: &mut [u8]) -> usize {
    let most = from.len().min(to.len());
    let mut at = 0;
    while at + BLOCK <= most {
        let block = &from[at..at + BLOCK];
        to[at..at + BLOCK].copy_from_slice(block);
        let plain = block
            .iter()
            .fold(true, |plain, byte| plain & !is_special(*byte));
        if !plain {
            break;
        }
        at += BLOCK;
    }
    while at < most && !is_special(from[at]) {
        to[at] = from[at];
        at += 1;
    }
    at
}
