//! The processor inside a process, so that it can be held off for a while: it finishes its batches, leaves its group, and is
//! started again afterwards.

use std::future::{Future, pending};

use anyhow::{Result, bail};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Holds the processor of this process off.
#[derive(Clone)]
pub struct Processing {
    requests: mpsc::Sender<oneshot::Sender<HeldOff>>,
}

/// The processor does nothing until this is dropped.
pub struct HeldOff {
    _resumes: oneshot::Sender<()>,
}

impl Processing {
    /// A processor that `start` starts, and that stops when its token fires; the work of running it until `shutdown`.
    pub fn new<F: Future<Output = Result<()>> + Send>(
        start: impl Fn(CancellationToken) -> F + Send + Sync,
        shutdown: CancellationToken,
    ) -> (Self, impl Future<Output = Result<()>> + Send) {
        let (requests, requested) = mpsc::channel(1);
        (Self { requests }, run(start, requested, shutdown))
    }

    /// Waits until the processor has finished what it announced and has left its group.
    pub async fn hold_off(&self) -> Result<HeldOff> {
        let (granted, grant) = oneshot::channel();
        if self.requests.send(granted).await.is_ok()
            && let Ok(held_off) = grant.await
        {
            return Ok(held_off);
        }
        bail!("the processor is ending")
    }
}

async fn run<F: Future<Output = Result<()>> + Send>(
    start: impl Fn(CancellationToken) -> F,
    mut requested: mpsc::Receiver<oneshot::Sender<HeldOff>>,
    shutdown: CancellationToken,
) -> Result<()> {
    loop {
        let stop = shutdown.child_token();
        let mut working = Box::pin(start(stop.clone()));
        let granted = tokio::select! {
            ended = &mut working => return ended,
            granted = next(&mut requested) => granted,
        };
        tracing::info!("the processor is held off");
        stop.cancel();
        working.await?;
        let (held_off, let_go) = oneshot::channel();
        // Whoever asked may have given up; then it goes on at once.
        let _ = granted.send(HeldOff { _resumes: held_off });
        tokio::select! {
            _ = let_go => {}
            () = shutdown.cancelled() => return Ok(()),
        }
        tracing::info!("the processor goes on");
    }
}

async fn next(requested: &mut mpsc::Receiver<oneshot::Sender<HeldOff>>) -> oneshot::Sender<HeldOff> {
    match requested.recv().await {
        Some(granted) => granted,
        // Nobody is left who could ask.
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    /// A processor that counts how many of it run.
    async fn count(running: Arc<AtomicI64>, stop: CancellationToken) -> Result<()> {
        running.fetch_add(1, Ordering::SeqCst);
        stop.cancelled().await;
        tokio::task::yield_now().await;
        running.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }

    async fn until(condition: impl Fn() -> bool) {
        while !condition() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_processor_that_is_held_off_goes_on_when_let_go() {
        let running = Arc::new(AtomicI64::new(0));
        let shutdown = CancellationToken::new();
        let counted = Arc::clone(&running);
        let start = move |stop| count(Arc::clone(&counted), stop);
        let (processing, work) = Processing::new(start, shutdown.clone());
        let work = tokio::spawn(work);
        let runs = || running.load(Ordering::SeqCst);
        for _ in 0..3 {
            until(|| runs() == 1).await;
            let held = processing.hold_off().await.unwrap();
            assert_eq!(runs(), 0);
            drop(held);
        }
        until(|| runs() == 1).await;
        shutdown.cancel();
        work.await.unwrap().unwrap();
        assert_eq!(runs(), 0);
        assert!(processing.hold_off().await.is_err());
    }

    #[tokio::test]
    async fn shutdown_does_not_wait_for_whoever_holds_the_processor_off() {
        let shutdown = CancellationToken::new();
        let (processing, work) = Processing::new(|stop| count(Arc::default(), stop), shutdown.clone());
        let work = tokio::spawn(work);
        let _held = processing.hold_off().await.unwrap();
        shutdown.cancel();
        work.await.unwrap().unwrap();
    }
}
