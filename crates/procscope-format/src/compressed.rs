//! Streams compressed by gzip or zstd.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// RFC 1952.
const GZIP: &[u8] = &[0x1f, 0x8b];
/// RFC 8878.
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Decompresses a stream by its first bytes, if gzip or zstd compressed it; any other is unchanged.
///
/// A cut stream ends with [`io::ErrorKind::UnexpectedEof`], after everything that was whole.
///
/// # Errors
/// The stream's own, at its first bytes.
pub fn decompressed(mut input: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut first = Vec::new();
    input.by_ref().take(ZSTD.len() as u64).read_to_end(&mut first)?;
    let (is_gzip, is_zstd) = (first.starts_with(GZIP), first.starts_with(ZSTD));
    let input = io::Cursor::new(first).chain(input);
    Ok(if is_gzip {
        Box::new(MultiGzDecoder::new(BufReader::new(input)))
    } else if is_zstd {
        let input = Watched { input: BufReader::new(input), ended: false };
        Box::new(Zstd { input, decoder: FrameDecoder::new(), in_frame: false })
    } else {
        Box::new(input)
    })
}

/// The frames of a zstd stream, one after another.
struct Zstd<R> {
    input: Watched<R>,
    decoder: FrameDecoder,
    in_frame: bool,
}

/// A stream that knows whether it ended.
struct Watched<R> {
    input: BufReader<R>,
    ended: bool,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.ended |= read == 0 && !buffer.is_empty();
        Ok(read)
    }
}

impl<R: Read> Zstd<R> {
    /// Begins the next frame. False if there is none.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.input.input.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.input) {
                Ok(()) => {
                    self.in_frame = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    io::copy(&mut self.input.by_ref().take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(wrong(self.input.ended, error)),
            }
        }
        Ok(false)
    }

    /// Reads blocks until they give something, or the frame ends.
    fn decode(&mut self) -> io::Result<()> {
        while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
            let decoded = self.decoder.decode_blocks(&mut self.input, BlockDecodingStrategy::UptoBlocks(1));
            decoded.map_err(|error| wrong(self.input.ended, error))?;
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.in_frame = false;
        let written = self.decoder.get_checksum_from_data();
        if written.is_some() && written != self.decoder.get_calculated_checksum() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum of a zstd frame is wrong"));
        }
        Ok(())
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.in_frame {
                self.decode()?;
                if self.decoder.can_collect() > 0 {
                    return self.decoder.read(buffer);
                }
                self.end()?;
            }
            if !self.begin()? {
                return Ok(0);
            }
        }
    }
}

/// A stream's error: if it ended early, it was cut.
fn wrong(ended: bool, error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(if ended { io::ErrorKind::UnexpectedEof } else { io::ErrorKind::InvalidData }, error)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        compress_to_vec(text, CompressionLevel::Fastest)
    }

    /// The bytes read, and how they end.
    fn read(bytes: Vec<u8>) -> (Vec<u8>, Option<io::ErrorKind>) {
        let mut text = Vec::new();
        let end = decompressed(io::Cursor::new(bytes)).and_then(|mut input| input.read_to_end(&mut text));
        (text, end.err().map(|error| error.kind()))
    }

    fn lines() -> Vec<u8> {
        (0..100_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect()
    }

    #[test]
    fn members_and_frames_are_joined() {
        let text = lines();
        for compress in [gzip, zstd, |text: &[u8]| text.to_vec()] {
            let (one, two) = text.split_at(text.len() / 3);
            let joined = [compress(one), compress(two)].concat();
            assert_eq!(read(joined), (text.clone(), None));
        }
        assert_eq!(read(Vec::new()), (Vec::new(), None));
        let skipped = [b"\x50\x2a\x4d\x18\x03\0\0\0xyz".to_vec(), zstd(b"b")].concat();
        assert_eq!(read([zstd(b"a"), skipped].concat()), (b"ab".to_vec(), None));
    }

    #[test]
    fn what_was_cut_off_says_so_behind_what_is_whole() {
        let text = lines();
        for compress in [gzip, zstd] {
            let whole = compress(&text);
            let (before, end) = read(whole[..whole.len() / 2].to_vec());
            assert_eq!(end, Some(io::ErrorKind::UnexpectedEof));
            assert!(!before.is_empty() && text.starts_with(&before));
        }
    }

    #[test]
    fn what_was_changed_is_noticed() {
        for compress in [gzip, zstd] {
            let mut bytes = compress(&lines());
            let last = bytes.len() - 6;
            bytes[last] ^= 1;
            assert!(read(bytes).1.is_some());
        }
    }
}
