//! One run: its plan, its success criterion, its coverage and its cost.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    fmt,
    io::Write,
    panic::{self, AssertUnwindSafe},
    sync::Once,
    time::Duration,
};

use crate::{
    Coverage, Plan, Violation, World,
    cost::thread_cpu,
    disk::{CrashPoint, Point, WriteFault},
    profiles::{FAILING_MACHINE, Profile, Scenario, strategy_plan},
    strategies::{StrategyKind, control::Control},
};

/// One run of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Case {
    /// A seed in a profile.
    Seed(Profile, u64),
    /// A seed with members of one Byzantine strategy.
    Strategy(StrategyKind, u64),
    /// A scenario in which one write or sync, counted from 1, fails in one way.
    Point(Scenario, u64, WriteFault),
}

impl fmt::Display for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seed(profile, seed) => write!(out, "profile {} seed {seed}", profile.name()),
            Self::Strategy(kind, seed) => write!(out, "strategy {} seed {seed}", kind.name()),
            Self::Point(scenario, point, fault) => {
                write!(out, "scenario {} point {point} {}", scenario.name(), fault.name())
            }
        }
    }
}

/// The result of a run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The failure, if any.
    pub fault: Option<String>,
    /// The trace's hash.
    pub hash: u64,
    /// What happened, counted.
    pub events: u64,
    /// The greatest height of a machine.
    pub heights: u64,
    /// Duration by the world's clock.
    pub simulated_ms: u64,
    /// CPU time of its thread.
    pub cpu: Duration,
    /// Validators at genesis.
    pub validators: usize,
    /// Its coverage.
    pub coverage: Coverage,
}

impl Case {
    /// Its plan.
    pub fn plan(&self) -> Plan {
        match *self {
            Self::Seed(profile, seed) => profile.plan(seed),
            Self::Strategy(kind, seed) => strategy_plan(kind, seed),
            Self::Point(scenario, point, fault) => {
                let disk_point = Some(CrashPoint { machine: FAILING_MACHINE, point, fault });
                Plan { disk_point, ..scenario.plan() }
            }
        }
    }

    /// The command that repeats it.
    pub fn replay(&self) -> String {
        match self {
            Self::Seed(profile, seed) => format!("testnet/sim --profile {} --seeds {seed} --trace", profile.name()),
            Self::Strategy(kind, seed) => {
                format!("testnet/sim --strategies --strategy {} --seeds {seed} --trace", kind.name())
            }
            Self::Point(scenario, point, fault) => {
                let fault = fault.name().trim_start_matches("disk:");
                format!("testnet/sim --crash-points --point {}:{point}:{fault} --trace", scenario.name())
            }
        }
    }

    /// Runs the case, with a transcript when one is wanted. A panic counts as a failure.
    pub fn run(&self, transcript: Option<Box<dyn Write + Send>>) -> Outcome {
        let before = thread_cpu();
        let ran = caught(|| self.run_world(transcript));
        let mut outcome =
            ran.unwrap_or_else(|panic| Outcome { fault: Some(format!("panic: {panic}")), ..Outcome::default() });
        outcome.cpu = thread_cpu().saturating_sub(before);
        outcome
    }

    fn run_world(&self, transcript: Option<Box<dyn Write + Send>>) -> Outcome {
        let plan = self.plan();
        let mut world = World::new(&plan);
        if let Some(out) = transcript {
            world.trace.write_to(out);
        }
        let ran = match *self {
            Self::Point(scenario, ..) => prelude(scenario, &mut world).and_then(|()| world.run()),
            // Here the run must fork, and the fork must convict.
            Self::Seed(Profile::Control, seed) => Control::of(seed).run(&mut world).map(|_| ()),
            Self::Seed(..) | Self::Strategy(..) => world.run(),
        };
        if let Err(violation) = &ran {
            world.trace.line(world.now_ms, || format!("VIOLATION {}", told(violation)));
        }
        let never = || "the run never came to the point".to_owned();
        let fault = ran.err().map(|violation| told(&violation)).or_else(|| match self {
            Self::Point(.., fault) if world.coverage.count(fault.name()) == 0 => Some(never()),
            _ => None,
        });
        Outcome {
            fault,
            hash: world.trace.hash(),
            events: world.trace.events(),
            heights: world.head(),
            simulated_ms: world.now_ms,
            cpu: Duration::ZERO,
            validators: plan.validators,
            coverage: std::mem::take(&mut world.coverage),
        }
    }
}

/// The writes and syncs of a scenario's machine before the healing, in order, and the coverage of its base run.
///
/// # Errors
/// A violated invariant without any failing write, or required coverage that the scenario did not meet.
pub fn points(scenario: Scenario) -> Result<(Vec<Point>, Coverage), String> {
    let mut world = World::new(&scenario.plan());
    let until = world.plan.faults_until_ms;
    prelude(scenario, &mut world).and_then(|()| world.run_until(until)).map_err(|violation| told(&violation))?;
    let points = world.disk_points(FAILING_MACHINE);
    let missing: Vec<_> = scenario.requires().iter().filter(|what| world.coverage.count(what) == 0).collect();
    if !missing.is_empty() {
        return Err(format!("the scenario {} never met {missing:?}", scenario.name()));
    }
    world.run().map_err(|violation| told(&violation))?;
    Ok((points, std::mem::take(&mut world.coverage)))
}

/// What happens in a scenario before its faults.
fn prelude(scenario: Scenario, world: &mut World) -> Result<(), Violation> {
    if let Some(at_ms) = scenario.kill_at_ms() {
        world.run_until(at_ms)?;
        world.crash(FAILING_MACHINE, WriteFault::Clean);
    }
    Ok(())
}

fn told(violation: &Violation) -> String {
    format!("{} at height {}: {}", violation.invariant, violation.height, violation.text)
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs a closure that may panic. Returns the panic's text and place instead of printing them.
fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if QUIET.get() {
                SAID.set(Some(info.to_string().replace('\n', " ")));
            } else {
                usual(info);
            }
        }));
    });
    QUIET.set(true);
    let ran = panic::catch_unwind(AssertUnwindSafe(run));
    QUIET.set(false);
    ran.map_err(|panic| SAID.take().unwrap_or_else(|| payload(panic.as_ref())))
}

fn payload(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no text").to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_panic_is_told_with_its_place() {
        let said = caught(|| -> () { panic!("{} went wrong", "this") }).unwrap_err();
        assert!(said.contains("case.rs") && said.contains("this went wrong"), "{said}");
        assert_eq!(caught(|| 5).unwrap(), 5);
    }

    #[test]
    fn a_case_says_how_it_is_run_again() {
        let seed = Case::Seed(Profile::Crash, 7);
        assert_eq!(seed.replay(), "testnet/sim --profile crash --seeds 7 --trace");
        let point = Case::Point(Scenario::Pegged, 12, WriteFault::TornPrefix);
        assert_eq!(point.replay(), "testnet/sim --crash-points --point pegged:12:torn_prefix --trace");
        assert_eq!(point.to_string(), "scenario pegged point 12 disk:torn_prefix");
        assert_eq!(point.plan().disk_point.unwrap().point, 12);
    }
}
