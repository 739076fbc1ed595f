//! The queue of jobs, and threads that take from it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use mio::Waker;

use super::engine::Engine;
use super::job::Job;

/// Jobs on their way to a model and back.
#[derive(Debug)]
pub(super) struct Exchange {
    queue: Mutex<VecDeque<Job>>,
    ready: Condvar,
    done: Mutex<Vec<Job>>,
    ends: AtomicBool,
}

/// A panic elsewhere leaves the queue as it was between two operations.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Exchange {
    /// Room for `most` jobs without an allocation.
    pub(super) fn new(most: usize) -> Self {
        Self {
            queue: Mutex::new(VecDeque::with_capacity(most)),
            ready: Condvar::new(),
            done: Mutex::new(Vec::with_capacity(most)),
            ends: AtomicBool::new(false),
        }
    }

    /// Jobs that wait.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.queue).len()
    }

    /// Adds a job.
    pub(super) fn push(&self, job: Job) {
        lock(&self.queue).push_back(job);
        self.ready.notify_one();
    }

    /// Moves the next job to `group`, and others of the same API up to the number that `most` says, in their order.
    pub(super) fn take(&self, group: &mut Vec<Job>, most: impl Fn(usize, usize) -> usize) {
        take_group(&mut lock(&self.queue), group, most);
    }

    /// Moves the jobs that have been answered to `out`.
    pub(super) fn collect(&self, out: &mut Vec<Job>) {
        out.append(&mut lock(&self.done));
    }

    /// Tells workers to end once the queue is empty, or to begin again.
    pub(super) fn set_ends(&self, ends: bool) {
        self.ends.store(ends, Ordering::Release);
        // A worker between its look at the flag and its wait holds the lock.
        drop(lock(&self.queue));
        self.ready.notify_all();
    }

    /// Answers jobs until it is told to end.
    pub(super) fn work(&self, engine: &mut Engine<'_>, waker: &Waker) {
        let mut group = Vec::new();
        loop {
            {
                let mut queue = lock(&self.queue);
                while queue.is_empty() {
                    if self.ends.load(Ordering::Acquire) {
                        return;
                    }
                    queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
                take_group(&mut queue, &mut group, |model, api| engine.most_jobs(model, api));
            }
            engine.answer(&mut group);
            lock(&self.done).append(&mut group);
            // A lost wake-up costs the time to the next tick.
            let _ = waker.wake();
        }
    }
}

fn take_group(queue: &mut VecDeque<Job>, group: &mut Vec<Job>, most: impl Fn(usize, usize) -> usize) {
    let Some(first) = queue.pop_front() else { return };
    let (model, api) = (first.model, first.api);
    let most = most(model, api);
    group.push(first);
    let mut at = 0;
    while group.len() < most && at < queue.len() {
        if (queue[at].model, queue[at].api) == (model, api) {
            group.extend(queue.remove(at));
        } else {
            at += 1;
        }
    }
}
