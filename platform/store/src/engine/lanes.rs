//! The engine's own threads, in two lanes so that neither queries nor inserts can take all of them. A request waits
//! for a free thread for a bounded time only.

use std::{
    io,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::exception::Exception;

/// ClickHouse's parser and planner recurse; this is what its own main thread has.
const STACK: usize = 8 << 20;

type Task = Box<dyn FnOnce() + Send>;

/// Some threads and the right to use them.
pub struct Lane {
    tasks: mpsc::Sender<(Task, OwnedSemaphorePermit)>,
    free: Arc<Semaphore>,
    longest_wait: Duration,
}

/// A thread of a lane, reserved for one task.
pub struct Slot<'a> {
    lane: &'a Lane,
    permit: OwnedSemaphorePermit,
}

impl Lane {
    /// Starts `threads` threads; the handles end after the lane is dropped.
    pub fn start(
        name: &str,
        threads: usize,
        longest_wait: Duration,
    ) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (tasks, queue) = mpsc::channel::<(Task, OwnedSemaphorePermit)>();
        let queue = Arc::new(Mutex::new(queue));
        let mut handles = Vec::with_capacity(threads);
        for index in 0..threads {
            let queue = Arc::clone(&queue);
            let run = move || {
                loop {
                    let next = queue.lock().recv();
                    let Ok((task, permit)) = next else { return };
                    // The panic is reported by its hook; the thread must stay for the next task.
                    let _ = panic::catch_unwind(AssertUnwindSafe(task));
                    drop(permit);
                }
            };
            handles
                .push(thread::Builder::new().name(format!("{name}-{index}")).stack_size(STACK).spawn(run)?);
        }
        Ok((Self { tasks, free: Arc::new(Semaphore::new(threads)), longest_wait }, handles))
    }

    /// Waits for a free thread. Fails as ClickHouse does when too many queries run.
    pub async fn reserve(&self) -> Result<Slot<'_>, Exception> {
        let permit = tokio::time::timeout(self.longest_wait, Arc::clone(&self.free).acquire_owned()).await;
        match permit {
            Ok(Ok(permit)) => Ok(Slot { lane: self, permit }),
            _ => Err(Exception::new(
                202,
                "TOO_MANY_SIMULTANEOUS_QUERIES",
                "Too many simultaneous queries: no connection became free in time.",
            )),
        }
    }
}

impl Slot<'_> {
    /// Runs a task on the reserved thread.
    pub fn run(self, task: impl FnOnce() + Send + 'static) {
        self.lane
            .tasks
            .send((Box::new(task), self.permit))
            .expect("a lane's threads live as long as the lane");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_lane_refuses_after_the_wait_and_serves_again_when_free() {
        let (lane, handles) = Lane::start("test", 1, Duration::from_millis(20)).unwrap();
        let (release, gate) = mpsc::channel::<()>();
        lane.reserve().await.unwrap().run(move || gate.recv().unwrap());
        assert_eq!(lane.reserve().await.err().map(|error| error.code), Some(202));
        release.send(()).unwrap();
        lane.free.acquire().await.unwrap().forget();
        drop(lane);
        for handle in handles {
            handle.join().unwrap();
        }
    }
}
