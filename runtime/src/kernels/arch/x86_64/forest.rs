//! Forests on x86-64 with AVX2: blocks as compiled for it, and 32 walks at a time for single rows.
#![allow(
    unsafe_code,
    reason = "instructions that a processor may lack, which select.rs has asked for; gathers, whose indices are bounded"
)]

use core::arch::x86_64::*;

use super::super::any::forest::{TREES, run_with};
use crate::kernels::reference::forest::{Feature, Forest, Node, Trees, Value};

/// [`Forest::run`] with AVX2, which the processor must have.
pub(in crate::kernels) fn run_avx2<F: Feature, N: Node, V: Value>(
    forest: &Forest<'_, F, N, V>,
    features: usize,
    x: &[F],
    columns: &mut [N::Rank],
    seen: &mut [u8],
    out: &mut [V],
) {
    #[target_feature(enable = "avx2")]
    fn compiled<F: Feature, N: Node, V: Value>(
        forest: &Forest<'_, F, N, V>,
        features: usize,
        x: &[F],
        columns: &mut [N::Rank],
        seen: &mut [u8],
        out: &mut [V],
    ) {
        run_with(forest, walk_avx2, features, x, columns, seen, out);
    }
    // SAFETY: select.rs calls this only where the processor has AVX2.
    unsafe { compiled(forest, features, x, columns, seen, out) }
}

/// Lanes of a vector.
const LANES: usize = 8;

/// Vectors of walks that take their steps in turn: a step waits for two gathers.
const TOGETHER: usize = 4;

/// Bytes of ranks; gathers read four at a time.
type Ranks = [u8; 256 + 4];

fn walk_avx2(trees: &Trees<'_, u32>, first: usize, ranks: &[u8], leaves: &mut [u8; TREES]) {
    let mut all: Ranks = [0; 260];
    for (to, &rank) in all.iter_mut().zip(ranks) {
        *to = rank;
    }
    // SAFETY: only `run_avx2` names this function, which runs only where the processor has AVX2.
    unsafe { walk_chunk(trees, first, &all, leaves) }
}

/// Eight walks.
#[derive(Clone, Copy)]
struct Walk {
    /// Split where each is, among those of all trees.
    at: __m256i,
    /// One past the tree's last split.
    end: __m256i,
    /// Leaves of the tree to the left.
    leaf: __m256i,
}

#[target_feature(enable = "avx2")]
fn walk_chunk(trees: &Trees<'_, u32>, first: usize, ranks: &Ranks, leaves: &mut [u8; TREES]) {
    // Forests have at most 2^28 splits; were there more, the gathers' indices would not reach them.
    let last = trees.nodes.len().checked_sub(1).and_then(|last| i32::try_from(last).ok());
    let Some(last) = last else { return leaves.fill(0) };
    let last = _mm256_set1_epi32(last);
    for (chunk, leaves) in leaves.as_chunks_mut::<{ LANES * TOGETHER }>().0.iter_mut().enumerate() {
        let first = first + chunk * LANES * TOGETHER;
        if first >= trees.len() {
            return;
        }
        let mut walks = core::array::from_fn::<Walk, TOGETHER, _>(|walk| {
            let bound = |lane: usize| trees.start(first + walk * LANES + lane) as i32;
            let at = core::array::from_fn::<i32, LANES, _>(bound);
            let end = core::array::from_fn::<i32, LANES, _>(|lane| bound(lane + 1));
            Walk { at: vector(at), end: vector(end), leaf: _mm256_setzero_si256() }
        });
        // Every step leads forward: there are no more than splits, whatever the tables hold.
        for _ in 0..trees.nodes.len() {
            let mut open = 0;
            for walk in &mut walks {
                open |= step(trees.nodes, last, ranks, walk);
            }
            if open == 0 {
                break;
            }
        }
        for (walk, leaves) in walks.iter().zip(leaves.as_chunks_mut::<LANES>().0) {
            *leaves = lanes(walk.leaf).map(|leaf| leaf as u8);
        }
    }
}

/// One step of eight walks; returns whether any is under way.
#[target_feature(enable = "avx2")]
#[inline]
fn step(nodes: &[u32], last: __m256i, ranks: &Ranks, walk: &mut Walk) -> i32 {
    let byte = _mm256_set1_epi32(0xff);
    let index = _mm256_min_epu32(walk.at, last);
    // SAFETY: `index` is at most the last position in `nodes`, which is not empty and has fewer than 2^31 elements.
    let node = unsafe { _mm256_i32gather_epi32::<4>(nodes.as_ptr().cast(), index) };
    let column = _mm256_and_si256(node, byte);
    // SAFETY: a column is at most 255, and four bytes from there on are within `ranks`.
    let x = unsafe { _mm256_i32gather_epi32::<1>(ranks.as_ptr().cast(), column) };
    let x = _mm256_and_si256(x, byte);
    let rank = _mm256_and_si256(_mm256_srli_epi32::<8>(node), byte);
    let first = _mm256_and_si256(_mm256_srli_epi32::<16>(node), byte);
    let right = _mm256_srli_epi32::<24>(node);
    // A split is on the path exactly if its first leaf is where the walk is.
    let here = _mm256_and_si256(_mm256_cmpeq_epi32(first, walk.leaf), _mm256_cmpgt_epi32(walk.end, walk.at));
    let left_wins = _mm256_cmpgt_epi32(rank, x);
    let forward = _mm256_blendv_epi8(_mm256_sub_epi32(right, first), _mm256_set1_epi32(1), left_wins);
    walk.at = _mm256_add_epi32(walk.at, _mm256_and_si256(forward, here));
    walk.leaf = _mm256_blendv_epi8(walk.leaf, right, _mm256_andnot_si256(left_wins, here));
    _mm256_movemask_epi8(here)
}

fn vector(lanes: [i32; LANES]) -> __m256i {
    // SAFETY: both are 32 bytes, of which any value is valid.
    unsafe { core::mem::transmute(lanes) }
}

fn lanes(vector: __m256i) -> [i32; LANES] {
    // SAFETY: both are 32 bytes, of which any value is valid.
    unsafe { core::mem::transmute(vector) }
}
