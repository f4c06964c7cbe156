//! Many runs on several threads, each run alone on its thread.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    Coverage,
    case::{Case, Outcome},
    cost::{memory_mib, process_cpu},
};

/// The stack of a run: the machine below contracts may nest a thousand calls.
const STACK_BYTES: usize = 32 << 20;
/// Number of failures kept with their text.
const KEPT_FAILURES: usize = 50;
/// Number of the most expensive runs to keep.
const KEPT_SLOWEST: usize = 3;
/// A run that takes longer than this is named, in case it never ends.
const LONG: Duration = Duration::from_secs(60);

/// A campaign to run.
pub struct Campaign<'a> {
    /// How many runs.
    pub count: u64,
    /// The case of each index.
    pub case: &'a (dyn Fn(u64) -> Case + Sync),
    /// Threads.
    pub jobs: usize,
    /// Whether each case runs a second time, on another thread, and must give the same result.
    pub twice: bool,
    /// Whether the first failure ends the campaign.
    pub fail_fast: bool,
    /// Interval of the calls of `watch`.
    pub watch_every: Duration,
}

impl std::fmt::Debug for Campaign<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Campaign").field("count", &self.count).field("jobs", &self.jobs).finish_non_exhaustive()
    }
}

/// A run that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub case: Case,
    /// Why.
    pub fault: String,
}

/// Summed results of runs.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Finished runs.
    pub runs: u64,
    /// Failed runs.
    pub failed: u64,
    /// The first failures, in the order of their cases.
    pub failures: Vec<Failure>,
    /// Heights in all.
    pub heights: u64,
    /// Events in all.
    pub events: u64,
    /// Simulated time in all, ms.
    pub simulated_ms: u64,
    /// CPU time of the process while they ran.
    pub cpu: Duration,
    /// Time while they ran.
    pub wall: Duration,
    /// The largest set.
    pub largest: usize,
    /// The most expensive runs, in descending order of cost.
    pub slowest: Vec<(Duration, Case)>,
    /// Coverage.
    pub coverage: Coverage,
    /// Memory in use before and after, and its peak, MiB.
    pub memory_mib: (u64, u64, u64),
}

impl Tally {
    /// Adds a run.
    pub fn add(&mut self, case: Case, outcome: &Outcome) {
        self.runs += 1;
        self.heights += outcome.heights;
        self.events += outcome.events;
        self.simulated_ms += outcome.simulated_ms;
        self.largest = self.largest.max(outcome.validators);
        self.coverage.merge(&outcome.coverage);
        self.slowest.push((outcome.cpu, case));
        self.slowest.sort_by(|one, other| other.cmp(one));
        self.slowest.truncate(KEPT_SLOWEST);
        if let Some(fault) = &outcome.fault {
            self.failed += 1;
            self.failures.push(Failure { case, fault: fault.clone() });
            self.failures.sort_by_key(|failure| failure.case);
            self.failures.truncate(KEPT_FAILURES);
        }
    }

    /// Adds another campaign's runs.
    pub fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.failed += other.failed;
        self.failures.extend(other.failures);
        self.failures.truncate(KEPT_FAILURES);
        self.heights += other.heights;
        self.events += other.events;
        self.simulated_ms += other.simulated_ms;
        self.cpu += other.cpu;
        self.wall += other.wall;
        self.largest = self.largest.max(other.largest);
        self.slowest.extend(other.slowest);
        self.slowest.sort_by(|one, other| other.cmp(one));
        self.slowest.truncate(KEPT_SLOWEST);
        self.coverage.merge(&other.coverage);
        let (before, after, most) = self.memory_mib;
        let before = if before == 0 { other.memory_mib.0 } else { before };
        self.memory_mib = (before, other.memory_mib.1.max(after), other.memory_mib.2.max(most));
    }
}

/// Progress of a campaign.
#[derive(Debug)]
pub struct Progress<'a> {
    /// Results so far.
    pub tally: &'a Tally,
    /// Runs in all.
    pub count: u64,
    /// Time since the beginning.
    pub wall: Duration,
    /// A run that takes long.
    pub long: Option<(Case, Duration)>,
}

impl Campaign<'_> {
    /// Runs the campaign. Calls `watch` with the progress at intervals, and `each` with every finished run.
    ///
    /// # Panics
    /// When no thread can be started.
    pub fn run(&self, watch: &mut dyn FnMut(&Progress<'_>), each: &mut dyn FnMut(Case, &Outcome)) -> Tally {
        let (began, cpu, memory) = (Instant::now(), process_cpu(), memory_mib().0);
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let jobs = self.jobs.max(1);
        let busy: Vec<Mutex<Option<(Case, Instant)>>> = (0..jobs).map(|_| Mutex::new(None)).collect();
        let mut tally = Tally::default();
        let (sender, ended) = mpsc::channel();
        thread::scope(|scope| {
            for slot in &busy {
                let (sender, next, stop) = (sender.clone(), &next, &stop);
                let partner = self.twice.then(|| Partner::start(scope));
                let work = move || {
                    while let Some(index) = take(next, self.count).filter(|_| !stop.load(Ordering::Relaxed)) {
                        let case = (self.case)(index);
                        set(slot, Some((case, Instant::now())));
                        let outcome = run_case(case, partner.as_ref());
                        set(slot, None);
                        if sender.send((case, outcome)).is_err() {
                            break;
                        }
                    }
                };
                spawn(scope, work);
            }
            drop(sender);
            let mut watched = Instant::now();
            loop {
                match ended.recv_timeout(self.watch_every) {
                    Ok((case, outcome)) => {
                        tally.add(case, &outcome);
                        each(case, &outcome);
                        if self.fail_fast && tally.failed > 0 {
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Err(mpsc::RecvTimeoutError::Disconnected) => break,
                }
                if watched.elapsed() >= self.watch_every {
                    watched = Instant::now();
                    let long = busy.iter().filter_map(|slot| *slot.lock().unwrap_or_else(|held| held.into_inner()));
                    let long = long.map(|(case, since)| (case, since.elapsed())).max_by_key(|(_, time)| *time);
                    let long = long.filter(|(_, time)| *time >= LONG);
                    watch(&Progress { tally: &tally, count: self.count, wall: began.elapsed(), long });
                }
            }
        });
        tally.cpu = process_cpu().saturating_sub(cpu);
        tally.wall = began.elapsed();
        let (now, most) = memory_mib();
        tally.memory_mib = (memory, now, most);
        tally
    }
}

/// A thread that repeats the runs of another one.
struct Partner {
    ask: mpsc::Sender<Case>,
    answers: mpsc::Receiver<Outcome>,
}

impl Partner {
    fn start<'scope>(scope: &'scope thread::Scope<'scope, '_>) -> Self {
        let ((ask, asked), (answer, answers)) = (mpsc::channel::<Case>(), mpsc::channel());
        spawn(scope, move || {
            for case in asked {
                if answer.send(case.run(None)).is_err() {
                    break;
                }
            }
        });
        Self { ask, answers }
    }

    fn run(&self, case: Case) -> Outcome {
        self.ask.send(case).ok().and_then(|()| self.answers.recv().ok()).expect("a run catches its panics")
    }
}

fn spawn<'scope>(scope: &'scope thread::Scope<'scope, '_>, work: impl FnOnce() + Send + 'scope) {
    let worker = thread::Builder::new().stack_size(STACK_BYTES);
    worker.spawn_scoped(scope, work).expect("the system gives threads");
}

/// Runs a case, and again on the partner's thread where there is one.
fn run_case(case: Case, partner: Option<&Partner>) -> Outcome {
    let mut outcome = case.run(None);
    if let Some(partner) = partner.filter(|_| outcome.fault.is_none()) {
        let again = partner.run(case);
        outcome.cpu += again.cpu;
        outcome.fault = differs(&outcome, &again);
    }
    outcome
}

/// The difference between two runs of one case.
fn differs(one: &Outcome, other: &Outcome) -> Option<String> {
    if let Some(fault) = &other.fault {
        return Some(format!("only the second run fails: {fault}"));
    }
    let facts = |run: &Outcome| (run.hash, run.events, run.heights, run.simulated_ms);
    if facts(one) == facts(other) && one.coverage == other.coverage {
        return None;
    }
    let told = |run: &Outcome| {
        format!("trace {:016x}, {} events, {} heights, {} ms", run.hash, run.events, run.heights, run.simulated_ms)
    };
    Some(format!("two runs differ: {}; {}", told(one), told(other)))
}

fn take(next: &AtomicU64, count: u64) -> Option<u64> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    (index < count).then_some(index)
}

fn set<T>(slot: &Mutex<Option<T>>, value: Option<T>) {
    *slot.lock().unwrap_or_else(|held| held.into_inner()) = value;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiles::Profile;

    #[test]
    fn runs_that_differ_are_told() {
        let one = Outcome { hash: 1, ..Outcome::default() };
        assert_eq!(differs(&one, &one.clone()), None);
        let other = Outcome { hash: 2, ..Outcome::default() };
        assert!(differs(&one, &other).is_some_and(|text| text.contains("0000000000000002")));
        let failed = Outcome { fault: Some("I1".to_owned()), ..one.clone() };
        assert!(differs(&one, &failed).is_some_and(|text| text.contains("only the second")));
    }

    #[test]
    fn failures_are_told_in_the_order_of_their_seeds() {
        let mut tally = Tally::default();
        for seed in [9, 3, 7] {
            let fault = (seed != 7).then(|| format!("fault {seed}"));
            let cpu = Duration::from_millis(seed);
            tally.add(Case::Seed(Profile::Default, seed), &Outcome { fault, cpu, heights: 2, ..Outcome::default() });
        }
        assert_eq!((tally.runs, tally.failed, tally.heights), (3, 2, 6));
        assert_eq!(tally.failures[0].case, Case::Seed(Profile::Default, 3));
        assert_eq!(tally.slowest[0].1, Case::Seed(Profile::Default, 9));
    }
}
