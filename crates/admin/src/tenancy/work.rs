//! Work that keeps a processor busy for long, such as making RSA keys: it never runs where requests are answered, and
//! never two at once in one process, so that no tenant's administrator slows the gate down for the others.

use tokio::sync::Semaphore;

use crate::Fault;

/// The one place.
static PLACE: Semaphore = Semaphore::const_new(1);

/// Does `work` apart from what answers requests; others wait for their turn. It holds the place until it is done, also
/// when nobody waits for it any longer.
///
/// # Errors
/// [`Fault::Internal`] when it panicked.
pub(super) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    let failed = |_| Fault::Internal("a computation");
    let place = PLACE.acquire().await.map_err(|_| Fault::Internal("waiting for a computation"))?;
    tokio::task::spawn_blocking(move || {
        let done = work();
        drop(place);
        done
    })
    .await
    .map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use super::*;

    #[tokio::test]
    async fn it_runs_apart_one_at_a_time_also_when_nobody_waits_for_it() {
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = || {
            let (running, most, here) = (running.clone(), most.clone(), std::thread::current().id());
            move || {
                assert_ne!(std::thread::current().id(), here, "not where requests are answered");
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(30));
                running.fetch_sub(1, Ordering::SeqCst);
            }
        };
        let left = tokio::time::timeout(Duration::from_millis(5), apart(work())).await;
        assert!(left.is_err(), "whoever asked is gone");
        let (one, two) = tokio::join!(apart(work()), apart(work()));
        one.unwrap();
        two.unwrap();
        assert_eq!(most.load(Ordering::SeqCst), 1);
        let panicked: Result<(), Fault> = apart(|| panic!("on purpose")).await;
        assert!(matches!(panicked, Err(Fault::Internal(_))));
        assert_eq!(apart(|| 7).await.unwrap(), 7, "the place is free again");
    }
}
