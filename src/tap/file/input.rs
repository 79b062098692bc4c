//! Lines of a file, unpacked.

use std::io::{self, BufRead as _, BufReader, Cursor, Read};

use super::trouble;
use crate::tap::TapError;

/// The longest line: several times the largest record that brokers take by any usual setting.
const LINE: u64 = 128 << 20;

/// Unpacked bytes of the file.
pub(super) type Input = BufReader<Box<dyn Read + Send>>;

/// Bytes read ahead. What a pipe has not delivered yet holds up no record before it: its reader is told when nothing more is there.
const AHEAD: usize = 1 << 20;

/// Unpacks what begins as gzip or zstd does.
pub(super) fn unpacked(mut raw: Box<dyn Read + Send>) -> io::Result<Input> {
    let mut head = Vec::new();
    raw.by_ref().take(4).read_to_end(&mut head)?;
    let whole = Cursor::new(head.clone()).chain(raw);
    let plain: Box<dyn Read + Send> = if head.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::read::MultiGzDecoder::new(whole))
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(zstd::Decoder::new(whole)?)
    } else {
        Box::new(whole)
    };
    Ok(BufReader::with_capacity(AHEAD, plain))
}

/// Calls `take` for every line with its number, counted from 1, and whether nothing more has been read yet, until it says no.
pub(super) fn each_line(
    path: &str,
    mut input: Input,
    mut take: impl FnMut(u64, &[u8], bool) -> bool,
) -> Result<(), TapError> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = input.by_ref().take(LINE).read_until(b'\n', &mut line).map_err(|error| {
            let hint = "the file is cut off or damaged: make it again; what came before was delivered";
            trouble(&format!("reading failed in line {number}"), path, hint, Some(error))
        })?;
        if read as u64 == LINE {
            let hint = "no record is that long: is it JSON Lines?";
            return Err(trouble(&format!("line {number} is longer than {LINE} bytes"), path, hint, None));
        }
        if read == 0 || !take(number, line.strip_suffix(b"\n").unwrap_or(&line), input.buffer().is_empty()) {
            return Ok(());
        }
    }
    Ok(())
}
