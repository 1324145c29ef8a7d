//! The allocator of the wasm module: small blocks from free lists, large ones from the system.
//! Never gives a small block back to the system.
//!
//! The host allocates for every value that it hands over, so also for a request that matches
//! nothing. While such a request made two allocations and cost 1,555 instructions, the allocator of
//! wasi-libc added 313, and the crates `dlmalloc` and `talc` 439 and 458, and to a request that
//! matches 14, 18 and 18 %. A freed block stays in the list of its size, so the memory of the
//! module is bounded by the sum of what each size has needed at most.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr::null_mut;

/// Sizes are rounded up to multiples of this.
const STEP: usize = 16;
/// The largest alignment of a small block. The system has it for every block, and rarely is another
/// asked for: a constant, so that a call of the allocator is of the size alone.
const ALIGN: usize = 8;
const CLASSES: usize = 16;
/// Bytes that are taken from the system at once for small blocks.
const CHUNK: usize = 16 * 1024;

/// A free block; it holds the address of the next one of its size.
struct FreeBlock {
    next: *mut FreeBlock,
}

/// A global allocator for programs of a single thread.
pub(crate) struct SmallBlocks {
    free: [Cell<*mut FreeBlock>; CLASSES],
    chunk: Cell<*mut u8>,
    chunk_left: Cell<usize>,
}

// SAFETY: used as a static on wasm32-wasip1 alone, which has no threads; the tests use one of their
// own each.
unsafe impl Sync for SmallBlocks {}

impl SmallBlocks {
    /// Makes an allocator that has taken nothing from the system yet.
    pub(crate) const fn new() -> SmallBlocks {
        SmallBlocks {
            free: [const { Cell::new(null_mut()) }; CLASSES],
            chunk: Cell::new(null_mut()),
            chunk_left: Cell::new(0),
        }
    }

    /// Returns the free list for `layout`; `None` if it is no small block.
    fn list(&self, layout: Layout) -> Option<&Cell<*mut FreeBlock>> {
        if layout.align() > ALIGN {
            return None;
        }
        self.list_of(layout.size())
    }

    fn list_of(&self, size: usize) -> Option<&Cell<*mut FreeBlock>> {
        self.free.get(size.wrapping_sub(1) / STEP)
    }

    /// Returns a block of `size` bytes, aligned to [`ALIGN`]. A function of its own, like
    /// [`SmallBlocks::give`]: each is called in thousands of places, and inlined the two make the
    /// module 6 % larger.
    #[inline(never)]
    fn take(&self, size: usize) -> *mut u8 {
        let Some(list) = self.list_of(size) else { return large(size) };
        let block = list.get();
        if block.is_null() {
            return self.carve(size.next_multiple_of(STEP));
        }
        // SAFETY: what is in a list was written there by `give`.
        list.set(unsafe { (*block).next });
        block.cast()
    }

    /// Takes back a block of `size` bytes.
    ///
    /// # Safety
    /// [`SmallBlocks::take`] has returned it for this size, and the caller uses it no more.
    #[inline(never)]
    unsafe fn give(&self, block: *mut u8, size: usize) {
        let Some(list) = self.list_of(size) else {
            // SAFETY: a block of this size came from the system, with this alignment.
            return unsafe { System.dealloc(block, Layout::from_size_align_unchecked(size, ALIGN)) };
        };
        let block: *mut FreeBlock = block.cast();
        // SAFETY: the block is the caller's to give, and is at least `STEP` bytes large and
        // aligned.
        unsafe { block.write(FreeBlock { next: list.get() }) };
        list.set(block);
    }

    /// Returns a new block of `size` bytes, a multiple of [`STEP`]. The rest of a chunk that is too
    /// small for it is given up.
    #[inline(never)]
    fn carve(&self, size: usize) -> *mut u8 {
        if self.chunk_left.get() < size {
            // SAFETY: the layout is a constant with a size above zero and an alignment that is a
            // power of two.
            let chunk = unsafe { System.alloc(Layout::from_size_align_unchecked(CHUNK, STEP)) };
            if chunk.is_null() {
                return null_mut();
            }
            self.chunk.set(chunk);
            self.chunk_left.set(CHUNK);
        }
        let block = self.chunk.get();
        // SAFETY: the chunk has at least `size` bytes left, so the result is within it or one past
        // its end.
        self.chunk.set(unsafe { block.add(size) });
        self.chunk_left.set(self.chunk_left.get() - size);
        block
    }
}

/// Returns a block of the system's. It is called, so that [`SmallBlocks::take`] needs no room on
/// the stack.
#[inline(never)]
fn large(size: usize) -> *mut u8 {
    // SAFETY: the size is above zero and makes a layout, which the caller of the allocator has
    // promised; the alignment is a power of two.
    unsafe { System.alloc(Layout::from_size_align_unchecked(size, ALIGN)) }
}

/// Returns a block of the system's that is aligned to more than [`ALIGN`]. It is called, so that
/// what is left of [`SmallBlocks::alloc`] where the alignment is known is one call.
///
/// # Safety
/// The size of the layout is above zero.
#[cold]
#[inline(never)]
unsafe fn aligned(layout: Layout) -> *mut u8 {
    // SAFETY: the caller's promise is the system's demand.
    unsafe { System.alloc(layout) }
}

impl Default for SmallBlocks {
    fn default() -> SmallBlocks {
        SmallBlocks::new()
    }
}

// SAFETY: a block is at least as large as asked for and aligned to `STEP` or as the system aligns
// it; it is in a free list or with one caller, never both; the class of a layout does not change
// between `alloc` and `dealloc`.
unsafe impl GlobalAlloc for SmallBlocks {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > ALIGN {
            // SAFETY: the caller's promises are those that this asks for.
            return unsafe { aligned(layout) };
        }
        self.take(layout.size())
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: a block of this layout came from where `alloc` takes it, and is the caller's to
        // give.
        unsafe {
            if layout.align() > ALIGN {
                System.dealloc(block, layout);
            } else {
                self.give(block, layout.size());
            }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that both sizes make a layout; the alignment is a power of
        // two.
        let [layout, new_layout] = [layout.size(), new_size]
            .map(|size| unsafe { Layout::from_size_align_unchecked(size, layout.align().max(ALIGN)) });
        match (self.list(layout), self.list(new_layout)) {
            // SAFETY: a block of this layout came from the system.
            (None, None) => return unsafe { System.realloc(block, layout, new_size) },
            (Some(list), Some(new_list)) if std::ptr::eq(list, new_list) => return block,
            _ => {}
        }
        // SAFETY: the new layout is a valid one; both blocks hold what is copied, and differ.
        unsafe {
            let new_block = self.alloc(new_layout);
            if !new_block.is_null() {
                std::ptr::copy_nonoverlapping(block, new_block, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            new_block
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX_SMALL: usize = STEP * CLASSES;

    #[test]
    fn a_freed_block_is_used_again() {
        let allocator = SmallBlocks::new();
        let layout = Layout::from_size_align(24, 8).unwrap();
        let same_class = Layout::from_size_align(32, 4).unwrap();
        unsafe {
            let first = allocator.alloc(layout);
            allocator.dealloc(first, layout);
            assert_eq!(allocator.alloc(same_class), first);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Alloc { size: usize, align: usize },
        Free(usize),
        Resize(usize, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let size = || prop_oneof![4 => 1..=MAX_SMALL + 20, 1 => 1usize..40_000];
        prop_oneof![
            3 => (size(), 0u32..7).prop_map(|(size, shift)| Step::Alloc { size, align: 1 << shift }),
            2 => any::<usize>().prop_map(Step::Free),
            2 => (any::<usize>(), size()).prop_map(|(which, size)| Step::Resize(which, size)),
        ]
    }

    proptest! {
        /// Every block keeps what its owner wrote until its owner gives it back.
        #[test]
        fn blocks_do_not_overlap_and_keep_their_content(steps in prop::collection::vec(step(), 1..200)) {
            let allocator = SmallBlocks::new();
            let mut blocks: Vec<(*mut u8, Layout, u8)> = vec![];
            for (number, step) in steps.into_iter().enumerate() {
                let mark = number as u8;
                unsafe {
                    match step {
                        Step::Alloc { size, align } => {
                            let layout = Layout::from_size_align(size, align).unwrap();
                            let block = allocator.alloc(layout);
                            prop_assert_eq!(block as usize % align, 0);
                            block.write_bytes(mark, size);
                            blocks.push((block, layout, mark));
                        }
                        Step::Free(which) if !blocks.is_empty() => {
                            let (block, layout, _) = blocks.swap_remove(which % blocks.len());
                            allocator.dealloc(block, layout);
                        }
                        Step::Resize(which, size) if !blocks.is_empty() => {
                            let which = which % blocks.len();
                            let (block, layout, old_mark) = blocks[which];
                            let block = allocator.realloc(block, layout, size);
                            let kept = std::slice::from_raw_parts(block, layout.size().min(size));
                            prop_assert!(kept.iter().all(|byte| *byte == old_mark));
                            block.write_bytes(mark, size);
                            blocks[which] = (block, Layout::from_size_align(size, layout.align()).unwrap(), mark);
                        }
                        Step::Free(_) | Step::Resize(..) => {}
                    }
                    for (block, layout, mark) in &blocks {
                        let content = std::slice::from_raw_parts(*block, layout.size());
                        prop_assert!(content.iter().all(|byte| byte == mark));
                    }
                }
            }
            for (block, layout, _) in blocks {
                unsafe { allocator.dealloc(block, layout) };
            }
        }
    }
}
