//! Reed–Solomon over blocks of one size: of data blocks and parity blocks together, as many may be lost as there are parity
//! blocks.

use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

use super::{CodecError, Result};

fn refused(source: reed_solomon_simd::Error) -> CodecError {
    CodecError::Library { what: "parity", source: Box::new(source) }
}

/// Makes parity of blocks.
pub struct ParityEncoder(ReedSolomonEncoder);

impl ParityEncoder {
    /// For so many data blocks and parity blocks of so many bytes.
    ///
    /// # Errors
    /// If there is no code for these numbers.
    pub fn new(data: usize, parity: usize, bytes: usize) -> Result<Self> {
        ReedSolomonEncoder::new(data, parity, bytes).map(Self).map_err(refused)
    }

    /// Adds the next data block.
    ///
    /// # Errors
    /// If it has another size, or there are too many.
    pub fn add(&mut self, block: &[u8]) -> Result<()> {
        self.0.add_original_shard(block).map_err(refused)
    }

    /// Gives each parity block to `each`, in their order.
    ///
    /// # Errors
    /// If there were too few data blocks.
    pub fn finish(mut self, mut each: impl FnMut(&[u8])) -> Result<()> {
        let made = self.0.encode().map_err(refused)?;
        made.recovery_iter().for_each(&mut each);
        Ok(())
    }
}

/// Finds data blocks that were lost.
pub struct ParityDecoder(ReedSolomonDecoder);

impl ParityDecoder {
    /// As the encoder was made.
    ///
    /// # Errors
    /// If there is no code for these numbers.
    pub fn new(data: usize, parity: usize, bytes: usize) -> Result<Self> {
        ReedSolomonDecoder::new(data, parity, bytes).map(Self).map_err(refused)
    }

    /// Adds a data block that is there.
    ///
    /// # Errors
    /// If it has another size or number, or is there twice.
    pub fn add_data(&mut self, at: usize, block: &[u8]) -> Result<()> {
        self.0.add_original_shard(at, block).map_err(refused)
    }

    /// Adds a parity block that is there.
    ///
    /// # Errors
    /// As for [`add_data`](Self::add_data).
    pub fn add_parity(&mut self, at: usize, block: &[u8]) -> Result<()> {
        self.0.add_recovery_shard(at, block).map_err(refused)
    }

    /// Gives each data block that was not added to `each`, with its number.
    ///
    /// # Errors
    /// If too few blocks are there.
    pub fn finish(mut self, mut each: impl FnMut(usize, &[u8])) -> Result<()> {
        let found = self.0.decode().map_err(refused)?;
        found.restored_original_iter().for_each(|(at, block)| each(at, block));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_blocks_as_there_is_parity_may_be_lost_and_no_more() {
        for (data, parity) in [(1_usize, 5_usize), (7, 5), (100, 9), (3000, 154)] {
            let block =
                |at: usize| -> Vec<u8> { (0..64).map(|i| u8::try_from((at * 31 + i * 7) % 251).unwrap()).collect() };
            let mut encoder = ParityEncoder::new(data, parity, 64).unwrap();
            (0..data).for_each(|at| encoder.add(&block(at)).unwrap());
            let mut made = Vec::new();
            encoder.finish(|block| made.push(block.to_vec())).unwrap();
            assert_eq!(made.len(), parity);
            let lost = parity.min(data);
            let decode = |lost: usize| {
                let mut decoder = ParityDecoder::new(data, parity, 64).unwrap();
                (lost..data).for_each(|at| decoder.add_data(at, &block(at)).unwrap());
                made.iter().enumerate().take(parity).for_each(|(at, parity)| decoder.add_parity(at, parity).unwrap());
                let mut found = Vec::new();
                decoder.finish(|at, block| found.push((at, block.to_vec()))).map(|()| found)
            };
            let found = decode(lost).unwrap();
            assert_eq!(found, (0..lost).map(|at| (at, block(at))).collect::<Vec<_>>(), "{data} {parity}");
            assert!(parity >= data || decode(parity + 1).is_err());
        }
    }
}
