//! Memory of large pieces that is used again.
//!
//! An allocator keeps what was freed within the last second, which is more than all that is in use where sealed packs pass
//! through at hundreds of megabytes in a second. Buffers that come back here are never freed while there are more to come.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Buffers of at least this size are used again.
const LARGE: usize = 1 << 20;
/// Larger ones are not: no pack is as large, and what is rare would only lie there.
const HUGE: usize = 24 << 20;
/// Sizes are rounded up to this, so that what served one pack serves the next.
const ROUND: usize = 1 << 20;

/// Buffers that came back.
pub struct BufferPool {
    free: Mutex<Vec<Vec<u8>>>,
    most: usize,
}

/// The bytes of a buffer, which go back when nobody has them any more.
struct Lent {
    bytes: Vec<u8>,
    pool: Arc<BufferPool>,
}

impl BufferPool {
    /// Keeps at most so many.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { free: Mutex::default(), most })
    }

    /// A buffer with room for so many bytes. What is in it is of no use.
    #[must_use]
    pub fn take(&self, capacity: usize) -> Vec<u8> {
        if !(LARGE..=HUGE).contains(&capacity) {
            return Vec::with_capacity(capacity);
        }
        // Small pieces in large buffers would hold many times what they need.
        let fits = |bytes: &Vec<u8>| (capacity..=capacity.saturating_mul(2)).contains(&bytes.capacity());
        let found = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            let at = free.iter().position(fits);
            if at.is_none() {
                // What lies here must not add up with what is used.
                drop(free.pop());
            }
            at.map(|at| free.swap_remove(at))
        };
        found.unwrap_or_else(|| Vec::with_capacity(capacity.next_multiple_of(ROUND)))
    }

    /// Shares what is in a buffer, which comes back when the last that has it drops it.
    #[must_use]
    pub fn lend(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        if !(LARGE..=HUGE).contains(&bytes.capacity()) {
            return bytes.into();
        }
        Bytes::from_owner(Lent { bytes, pool: Arc::clone(self) })
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < self.pool.most {
            free.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn lent(pool: &Arc<BufferPool>, len: usize) -> Bytes {
        let mut bytes = pool.take(len);
        bytes.resize(len, 7);
        pool.lend(bytes)
    }

    fn free(pool: &BufferPool) -> Vec<usize> {
        pool.free.lock().unwrap().iter().map(Vec::capacity).collect()
    }

    #[test]
    fn what_was_lent_is_used_again_and_no_more_than_was_agreed_is_kept() {
        let pool = BufferPool::new(2);
        let first = lent(&pool, 16 * MIB);
        let (at, part) = (first.as_ptr(), first.slice(5..9));
        drop(first);
        assert_eq!((free(&pool), &part[..]), (vec![], &[7; 4][..]), "a part of it is still used");
        drop(part);
        assert_eq!(free(&pool), [16 * MIB]);
        assert_eq!(lent(&pool, 15 * MIB).as_ptr(), at);
        drop([lent(&pool, 3 * MIB), lent(&pool, 3 * MIB), lent(&pool, 3 * MIB)]);
        assert_eq!(free(&pool).len(), 2);
    }

    #[test]
    fn small_pieces_do_not_hold_large_buffers() {
        let pool = BufferPool::new(2);
        drop(lent(&pool, 16 * MIB));
        let small = lent(&pool, MIB);
        assert_eq!(free(&pool), [0; 0], "and those do not lie beside what is used");
        drop(small);
        assert_eq!(free(&pool), [MIB]);
        drop((lent(&pool, 100), lent(&pool, 40 * MIB)));
        assert_eq!(free(&pool), [MIB], "neither what is small nor what is huge is kept");
    }
}
