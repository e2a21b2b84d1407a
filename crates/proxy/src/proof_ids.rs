//! Which proofs were used before: every proof of possession counts once, on whichever node (RFC 9449 section 11.1).
//!
//! What it cannot tell it does not guess: a store that fails is no first use, and whoever asks is refused.

use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use sallyport_model::Timestamp;
use sallyport_storage::{Digest, Store, StoreError};
use tokio::sync::oneshot;

/// Under which the store keeps what the gate has seen.
const PURPOSE: &str = "dpop_gate";
/// Proofs in one write. It bounds how long the first of them waits for the others.
const MOST_AT_ONCE: usize = 256;
/// Proofs that may wait for their write.
const MOST_WAITING: usize = 10_000;
/// Proofs that are remembered in memory, some 150 bytes each.
const MOST_KEPT: usize = 1_000_000;
/// And of one key, so that no client takes the room of all the others.
const MOST_OF_A_KEY: usize = 50_000;

/// One proof that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedProof {
    /// A digest of the proof's key and `jti`.
    pub id: Digest,
    /// The thumbprint of the proof's key.
    pub key: Digest,
    /// It is refused for its age or its nonce from then on, and need not be remembered.
    pub until: Timestamp,
}

/// Why nobody can tell whether a proof is a first use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoProofIds {
    /// The store failed.
    #[error("the ids of proofs cannot be stored: {0}")]
    Store(String),
    /// More proofs came than can be remembered.
    #[error("there is no room for more ids of proofs")]
    Full,
    /// More proofs of one key came than are remembered of any.
    #[error("too many DPoP proofs of this key came within minutes: send fewer requests, or share them among keys")]
    KeyFull,
}

/// Remembers proofs, for one node or for all.
#[async_trait]
pub trait ProofIds: Send + Sync {
    /// Whether each of `proofs` is used for the first time, in their order; of equal ones the first is. They are
    /// remembered when this returns.
    ///
    /// # Errors
    /// [`NoProofIds`]: none of them may be taken for a first use, and some may have been remembered.
    async fn use_each_once(&self, proofs: &[UsedProof], now: Timestamp) -> Result<Vec<bool>, NoProofIds>;

    /// The same for one proof.
    ///
    /// # Errors
    /// [`NoProofIds`].
    async fn use_once(&self, proof: UsedProof, now: Timestamp) -> Result<bool, NoProofIds> {
        let first = self.use_each_once(&[proof], now).await?;
        Ok(first == [true])
    }
}

/// The memory of one process. Worth something only with nonces that die with the same process: a proof from
/// before a restart is then refused for its nonce.
///
/// To be asked for one proof at a time: of several, one whose key has no room left refuses all.
#[derive(Debug)]
pub struct MemoryProofIds {
    /// By the second at which they may be forgotten.
    kept: Mutex<Kept>,
    most: usize,
    most_of_a_key: usize,
}

#[derive(Debug, Default)]
struct Kept {
    ids: HashSet<Digest>,
    /// How many of `ids` are of each key. No key without any.
    of_key: HashMap<Digest, usize>,
    /// An id and its key.
    by_end: BTreeMap<u64, Vec<(Digest, Digest)>>,
}

impl Default for MemoryProofIds {
    fn default() -> Self {
        Self::of_at_most(MOST_KEPT, MOST_OF_A_KEY)
    }
}

impl MemoryProofIds {
    /// `most` proofs, and `most_of_a_key` of one key.
    pub(crate) fn of_at_most(most: usize, most_of_a_key: usize) -> Self {
        Self { kept: Mutex::default(), most, most_of_a_key }
    }
}

impl Kept {
    fn forget(&mut self, now: Timestamp) {
        let living = self.by_end.split_off(&now.as_secs().saturating_add(1));
        for (id, key) in std::mem::replace(&mut self.by_end, living).into_values().flatten() {
            self.ids.remove(&id);
            if let Entry::Occupied(mut many) = self.of_key.entry(key) {
                *many.get_mut() -= 1;
                if *many.get() == 0 {
                    many.remove();
                }
            }
        }
    }

    fn first(&mut self, proof: &UsedProof, most: usize, most_of_a_key: usize) -> Result<bool, NoProofIds> {
        if self.ids.contains(&proof.id) {
            return Ok(false);
        }
        if self.of_key.get(&proof.key).is_some_and(|many| *many >= most_of_a_key) {
            return Err(NoProofIds::KeyFull);
        }
        if self.ids.len() >= most {
            return Err(NoProofIds::Full);
        }
        self.ids.insert(proof.id);
        *self.of_key.entry(proof.key).or_default() += 1;
        // To the end of its last second.
        self.by_end.entry(proof.until.as_secs().saturating_add(1)).or_default().push((proof.id, proof.key));
        Ok(true)
    }
}

#[async_trait]
impl ProofIds for MemoryProofIds {
    async fn use_each_once(&self, proofs: &[UsedProof], now: Timestamp) -> Result<Vec<bool>, NoProofIds> {
        let mut kept = self.kept.lock().map_err(|_| NoProofIds::Store("its memory is broken".to_owned()))?;
        kept.forget(now);
        proofs.iter().map(|proof| kept.first(proof, self.most, self.most_of_a_key)).collect()
    }
}

/// The store that all nodes share.
pub struct StoredProofIds(Arc<dyn Store>);

impl StoredProofIds {
    /// In `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl ProofIds for StoredProofIds {
    async fn use_each_once(&self, proofs: &[UsedProof], now: Timestamp) -> Result<Vec<bool>, NoProofIds> {
        let uses: Vec<_> = proofs.iter().map(|proof| (proof.id, proof.until)).collect();
        let failed = |error: StoreError| NoProofIds::Store(error.to_string());
        self.0.use_each_once(PURPOSE, &uses, now).await.map_err(failed)
    }
}

/// Gathers proofs into few writes, without a timer: one that finds nothing being written is written at once; those
/// that come meanwhile go into the next write together.
pub struct GatheredProofIds {
    shared: Arc<Shared>,
}

struct Shared {
    written: Arc<dyn ProofIds>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    writing: bool,
}

struct Waiting {
    proof: UsedProof,
    now: Timestamp,
    answer: oneshot::Sender<Result<bool, NoProofIds>>,
}

impl GatheredProofIds {
    /// Written to `written`.
    pub fn new(written: Arc<dyn ProofIds>) -> Self {
        Self { shared: Arc::new(Shared { written, queue: Mutex::default() }) }
    }

    fn enqueue(&self, proof: UsedProof, now: Timestamp) -> Result<oneshot::Receiver<Answer>, NoProofIds> {
        let (answer, answered) = oneshot::channel();
        let mut queue = self.shared.queue();
        if queue.waiting.len() >= MOST_WAITING {
            return Err(NoProofIds::Full);
        }
        queue.waiting.push(Waiting { proof, now, answer });
        let idle = !std::mem::replace(&mut queue.writing, true);
        drop(queue);
        if idle {
            // A task of its own: whoever goes away does not take the others' write along.
            tokio::spawn(Turn { shared: Arc::clone(&self.shared), over: false }.write_all());
        }
        Ok(answered)
    }
}

type Answer = Result<bool, NoProofIds>;

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Vec<Waiting>> {
        let mut queue = self.queue();
        if queue.waiting.is_empty() {
            queue.writing = false;
            return None;
        }
        let many = queue.waiting.len().min(MOST_AT_ONCE);
        Some(queue.waiting.drain(..many).collect())
    }

    async fn write(&self, batch: &[Waiting]) -> Result<Vec<bool>, NoProofIds> {
        // The earliest, so that nothing counts as forgotten that somebody of the batch has to be refused for.
        let now = batch.iter().map(|waiting| waiting.now).min().unwrap_or_default();
        let proofs: Vec<_> = batch.iter().map(|waiting| waiting.proof).collect();
        let first = self.written.use_each_once(&proofs, now).await?;
        match first.len() == batch.len() {
            true => Ok(first),
            false => Err(NoProofIds::Store("it did not answer for each".to_owned())),
        }
    }
}

/// The right to write, which exactly one task has. If that task dies, those who wait are refused and the next
/// one begins anew.
struct Turn {
    shared: Arc<Shared>,
    /// Somebody else may have the next one.
    over: bool,
}

impl Turn {
    async fn write_all(mut self) {
        while let Some(batch) = self.shared.next() {
            match self.shared.write(&batch).await {
                Ok(first) => batch.into_iter().zip(first).for_each(|(waiting, first)| waiting.tell(Ok(first))),
                Err(error) => {
                    tracing::error!(%error, "proofs of possession cannot be told from replayed ones; they are refused");
                    batch.into_iter().for_each(|waiting| waiting.tell(Err(error.clone())));
                }
            }
        }
        self.over = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.over {
            let mut queue = self.shared.queue();
            queue.writing = false;
            queue.waiting.clear();
        }
    }
}

impl Waiting {
    fn tell(self, answer: Answer) {
        // Who went away is not let in either.
        let _ = self.answer.send(answer);
    }
}

#[async_trait]
impl ProofIds for GatheredProofIds {
    async fn use_each_once(&self, proofs: &[UsedProof], now: Timestamp) -> Result<Vec<bool>, NoProofIds> {
        let waiting = proofs.iter().map(|proof| self.enqueue(*proof, now)).collect::<Result<Vec<_>, _>>()?;
        let mut first = Vec::with_capacity(waiting.len());
        for answer in waiting {
            let gone = |_| NoProofIds::Store("the write ended without an answer".to_owned());
            first.push(answer.await.map_err(gone)??);
        }
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::join_all;
    use std::time::Duration;
    use tokio::sync::Semaphore;

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    fn proof(id: u8, secs: u64) -> UsedProof {
        UsedProof { id: [id; 32], key: [7; 32], until: Timestamp::from_secs(secs) }
    }

    #[tokio::test]
    async fn memory_knows_each_until_its_end_and_refuses_what_it_has_no_room_for() {
        let ids = MemoryProofIds::of_at_most(2, 10);
        let all = [proof(1, 1_010), proof(1, 1_010), proof(2, 1_020)];
        assert_eq!(ids.use_each_once(&all, NOW).await.unwrap(), [true, false, true]);
        assert_eq!(ids.use_once(proof(3, 1_010), NOW).await, Err(NoProofIds::Full));
        assert!(!ids.use_once(proof(1, 1_010), Timestamp::from_millis(1_010_999)).await.unwrap(), "its last second");
        let later = NOW.plus(Duration::from_secs(11));
        assert!(ids.use_once(proof(3, 1_030), later).await.unwrap(), "the first is forgotten, for room");
        assert!(!ids.use_once(proof(2, 1_020), later).await.unwrap());
    }

    #[tokio::test]
    async fn a_key_has_room_of_its_own_and_gets_it_back() {
        let ids = MemoryProofIds::of_at_most(10, 2);
        let of = |key: u8, id: u8, secs| UsedProof { key: [key; 32], ..proof(id, secs) };
        let used = [of(1, 1, 1_010), of(1, 2, 1_020), of(1, 1, 1_010)];
        assert_eq!(ids.use_each_once(&used, NOW).await.unwrap(), [true, true, false]);
        assert_eq!(ids.use_once(of(1, 3, 1_020), NOW).await, Err(NoProofIds::KeyFull));
        assert_eq!(ids.use_once(of(1, 2, 1_020), NOW).await, Ok(false), "what it used is known");
        assert_eq!(ids.use_once(of(2, 3, 1_020), NOW).await, Ok(true), "another key");
        let later = NOW.plus(Duration::from_secs(11));
        assert_eq!(ids.use_once(of(1, 4, 1_030), later).await, Ok(true), "its first was forgotten");
        assert_eq!(ids.use_once(of(1, 5, 1_030), later).await, Err(NoProofIds::KeyFull));
        let end = NOW.plus(Duration::from_secs(40));
        assert_eq!(ids.use_once(of(3, 6, 1_050), end).await, Ok(true));
        let kept = ids.kept.lock().unwrap();
        assert_eq!((kept.ids.len(), kept.of_key.len(), kept.by_end.len()), (1, 1, 1), "nothing is left of the others");
    }

    /// A store that writes as often as it is let, and breaks or dies where it is told to.
    struct Slow {
        memory: MemoryProofIds,
        turns: Semaphore,
        writes: Mutex<Vec<usize>>,
        breaks_at: usize,
        dies_at: usize,
    }

    impl Slow {
        fn new(breaks_at: usize, dies_at: usize) -> Arc<Self> {
            let (turns, writes) = (Semaphore::new(0), Mutex::default());
            Arc::new(Self { memory: MemoryProofIds::default(), turns, writes, breaks_at, dies_at })
        }

        fn writes(&self) -> Vec<usize> {
            self.writes.lock().unwrap().clone()
        }
    }

    #[async_trait]
    impl ProofIds for Slow {
        async fn use_each_once(&self, proofs: &[UsedProof], now: Timestamp) -> Result<Vec<bool>, NoProofIds> {
            self.turns.acquire().await.unwrap().forget();
            let nth = {
                let mut writes = self.writes.lock().unwrap();
                writes.push(proofs.len());
                writes.len()
            };
            assert_ne!(nth, self.dies_at, "told to");
            if nth == self.breaks_at {
                return Err(NoProofIds::Store("told to".to_owned()));
            }
            self.memory.use_each_once(proofs, now).await
        }
    }

    #[tokio::test]
    async fn what_comes_while_one_is_written_is_written_together_and_each_hears_its_own() {
        let store = Slow::new(0, 0);
        let ids = GatheredProofIds::new(store.clone());
        let all = join_all((0..40).map(|n| ids.use_once(proof(n % 20, 1_010), NOW)));
        let let_go = async {
            tokio::task::yield_now().await;
            store.turns.add_permits(100);
        };
        let (answers, ()) = tokio::join!(all, let_go);
        let answers: Vec<bool> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, (0..40).map(|n| n < 20).collect::<Vec<_>>(), "the first of each");
        let writes = store.writes();
        assert_eq!(writes.iter().sum::<usize>(), 40);
        assert!(writes.len() <= 2, "not one for each: {writes:?}");
        let many: Vec<_> = (1_000..2_000u32)
            .map(|n| UsedProof { id: [n.to_be_bytes(); 8].concat().try_into().unwrap(), ..proof(0, 1_010) })
            .collect();
        assert!(ids.use_each_once(&many, NOW).await.unwrap().into_iter().all(|first| first));
        assert!(store.writes().iter().all(|write| *write <= MOST_AT_ONCE));
    }

    #[tokio::test]
    async fn a_write_that_fails_or_dies_lets_nobody_in_and_the_next_one_begins_anew() {
        for (breaks_at, dies_at) in [(1, 0), (0, 1)] {
            let store = Slow::new(breaks_at, dies_at);
            store.turns.add_permits(100);
            let ids = GatheredProofIds::new(store.clone());
            let refused = join_all((0..10).map(|n| ids.use_once(proof(n, 1_010), NOW))).await;
            assert!(refused.iter().all(|answer| matches!(answer, Err(NoProofIds::Store(_)))), "{refused:?}");
            assert_eq!(ids.use_once(proof(99, 1_010), NOW).await, Ok(true), "{breaks_at} {dies_at}");
        }
    }

    #[tokio::test]
    async fn who_goes_away_does_not_take_the_others_along() {
        let store = Slow::new(0, 0);
        let ids = GatheredProofIds::new(store.clone());
        let gone = tokio::time::timeout(Duration::from_millis(20), ids.use_once(proof(1, 1_010), NOW)).await;
        assert!(gone.is_err());
        let other = ids.use_once(proof(2, 1_010), NOW);
        store.turns.add_permits(2);
        assert_eq!(other.await, Ok(true));
        store.turns.add_permits(1);
        assert_eq!(ids.use_once(proof(1, 1_010), NOW).await, Ok(false), "what was shown was used");
    }
}
