//! An answer that is being compressed, part by part, and its count.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::budget::Share;
use super::encoder::Encoder;
use crate::telemetry::ProxyMetrics;

/// Such an answer. Dropped before [`Self::finish`], it has no end.
pub(in crate::proxy) struct Compressing {
    encoder: Encoder,
    /// After the encoder, so that its memory is free before it is given back.
    share: Share,
    tally: Tally,
}

/// Its bytes, which are counted however it ends.
struct Tally {
    metrics: Arc<ProxyMetrics>,
    read: usize,
    written: usize,
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.metrics.compression.passed(self.read, self.written);
    }
}

impl Tally {
    fn note(&mut self, plain: &[u8], encoded: &Bytes) {
        self.read += plain.len();
        self.written += encoded.len();
    }
}

impl Compressing {
    /// `share`: of the memory, for the encoder.
    pub(super) fn new(encoder: Encoder, share: Share, metrics: Arc<ProxyMetrics>) -> Self {
        Self { encoder, share, tally: Tally { metrics, read: 0, written: 0 } }
    }

    /// All that comes of a part and of what came before it. A part has at least one byte.
    ///
    /// # Errors
    /// The encoder has failed.
    pub(super) fn encode(&mut self, plain: &[u8]) -> io::Result<Bytes> {
        let encoded = self.encoder.encode(plain)?;
        self.tally.note(plain, &encoded);
        Ok(encoded)
    }

    /// What comes of the last part, which may be empty, with the end.
    ///
    /// # Errors
    /// The encoder has failed.
    pub(super) fn finish(self, plain: &[u8]) -> io::Result<Bytes> {
        let Self { encoder, share: _share, mut tally } = self;
        let encoded = encoder.finish(plain)?;
        tally.note(plain, &encoded);
        Ok(encoded)
    }
}
