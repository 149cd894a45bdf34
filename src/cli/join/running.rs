//! The way of a program from its start to its end, and of its registration beside it.

use std::cell::Cell;
use std::time::Duration;

use anyhow::anyhow;
use furt_client::{Departure, Error, Member, State};
use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use super::port::{Accepts, Place};
use super::program::Program;
use super::signals::{Received, Signals};
use super::{FAILED, Failure, Plan};
use crate::cli::output::{counted, note};

/// Between two looks at the program's port.
const LOOK: Duration = Duration::from_millis(50);
/// How long a program may take to end that is ended since it cannot be a service.
const ENDING: Duration = Duration::from_secs(10);
/// How long the registry may take to hear that the program is gone: a few hosts in turn.
const FAREWELL: Duration = Duration::from_secs(5);

/// # Errors
/// Why the program was not started, or was ended.
pub(super) async fn run(plan: Plan) -> Result<u8, Failure> {
    let mut signals = Signals::try_new().map_err(anyhow::Error::new)?;
    let place = Place { registry: &plan.registry, hostname: plan.hostname.as_deref(), port: plan.port };
    if place.is_taken().await {
        return Err(anyhow!("port {} is taken: something accepts connections there already", plan.port).into());
    }
    let mut program = Program::start(&plan.program, plan.port)?;
    match until_it_accepts(&place, &mut program, &mut signals, plan.start_timeout).await {
        Start::Accepts => {}
        Start::Ended(code) => return Ok(code),
        Start::Stop(signal) => return Ok(stop(&mut program, &mut signals, signal).await),
        Start::Never(seen) => {
            let error = never(&plan, seen);
            end(&mut program, &mut signals).await;
            return Err(error.into());
        }
    }
    let member = plan.registry.join_in_background(&plan.name, plan.service).map_err(anyhow::Error::new)?;
    match serve(&member, &mut program, &mut signals).await {
        Serving::Ended(code) => {
            // Requests that it had are lost, and no further one may come to it.
            farewell(timeout(FAREWELL, member.leave(Duration::ZERO)).await.ok());
            Ok(code)
        }
        Serving::Stop(signal) => Ok(leave(&member, plan.drain, &mut program, &mut signals, signal).await),
        Serving::Wrong(error) => {
            end(&mut program, &mut signals).await;
            Err(Failure::new(FAILED, error))
        }
    }
}

enum Start {
    Accepts,
    Ended(u8),
    Stop(Signal),
    Never(Accepts),
}

async fn until_it_accepts(place: &Place<'_>, program: &mut Program, signals: &mut Signals, within: Duration) -> Start {
    let seen = Cell::new(Accepts::No);
    let looking = async {
        loop {
            seen.set(place.look().await);
            if seen.get() == Accepts::Yes {
                return;
            }
            sleep(LOOK).await;
        }
    };
    let looking = timeout(within, looking);
    tokio::pin!(looking);
    loop {
        tokio::select! {
            biased;
            code = program.ended() => return Start::Ended(code),
            signal = signals.next() => match signal {
                Received::Stop(signal) => return Start::Stop(signal),
                Received::Other(signal) => program.pass_on(signal),
            },
            outcome = &mut looking => return if outcome.is_ok() { Start::Accepts } else { break },
        }
    }
    Start::Never(seen.get())
}

fn never(plan: &Plan, seen: Accepts) -> anyhow::Error {
    let (port, seconds) = (plan.port, plan.start_timeout.as_secs_f64());
    match seen {
        Accepts::OnlyLocally(own) => anyhow!(
            "the program accepts connections on port {port} of this machine alone, and the registry would send requests to \
             {own}: it must listen on 0.0.0.0, or --hostname must say where others reach it; the program was ended"
        ),
        Accepts::Yes | Accepts::No => anyhow!(
            "the program accepted no connection on port {port} within {seconds} s: it must listen on the port of the \
             environment variable PORT; the program was ended"
        ),
    }
}

enum Serving {
    Ended(u8),
    Stop(Signal),
    /// What was registered can never be taken.
    Wrong(Error),
}

/// While the program runs.
async fn serve(member: &Member, program: &mut Program, signals: &mut Signals) -> Serving {
    let mut states = member.states();
    let (mut told, mut has_joined) = (State::Joining, false);
    loop {
        tokio::select! {
            biased;
            code = program.ended() => return Serving::Ended(code),
            signal = signals.next() => match signal {
                Received::Stop(signal) => return Serving::Stop(signal),
                Received::Other(signal) => program.pass_on(signal),
            },
            Ok(()) = states.changed() => {
                let state = states.borrow_and_update().clone();
                if let State::Refused(error) = &state && !has_joined && is_final(error) {
                    return Serving::Wrong(error.clone());
                }
                tell(member.service(), &told, &state, has_joined);
                has_joined |= state == State::Joined;
                told = state;
            }
        }
    }
}

/// Whether the registration itself is wrong. All else may change without the program: grants, owners, who holds a route.
fn is_final(error: &Error) -> bool {
    let status = error.problem().map(|problem| problem.status);
    matches!(error, Error::Service(_)) || matches!(status, Some(400 | 413 | 415 | 422))
}

fn tell(service: &str, before: &State, now: &State, has_joined: bool) {
    match (before, now) {
        // What was tried again, for another reason perhaps.
        (State::Away(_), State::Away(_)) => {}
        (before, now) if before == now => {}
        (_, State::Joined) => note(&format!("{service} has joined{}", if has_joined { " again" } else { "" })),
        (_, State::Away(error)) => note(&format!("{service} is not heard by the registry: {error}; trying again")),
        (_, State::Refused(error)) => note(&format!("{service} has not joined: {error}; trying again")),
        _ => {}
    }
}

/// Leaves the registry, then passes the signal on; the program's exit code.
async fn leave(member: &Member, drain: Duration, program: &mut Program, signals: &mut Signals, signal: Signal) -> u8 {
    let leaving = member.leave(drain);
    tokio::pin!(leaving);
    loop {
        tokio::select! {
            biased;
            code = program.ended() => {
                farewell(timeout(FAREWELL, leaving).await.ok());
                return code;
            }
            again = signals.next() => match again {
                Received::Stop(_) => {
                    program.kill();
                    let code = program.ended().await;
                    farewell(timeout(FAREWELL, leaving).await.ok());
                    return code;
                }
                Received::Other(signal) => program.pass_on(signal),
            },
            outcome = &mut leaving => {
                farewell(Some(outcome));
                return stop(program, signals, signal).await;
            }
        }
    }
}

fn farewell(outcome: Option<Result<Departure, Error>>) {
    const LATER: &str = "the registration goes when its TTL is over";
    match outcome {
        Some(Ok(Departure { in_flight: 0, .. }) | Err(Error::Left)) => {}
        Some(Ok(left)) => note(&format!("{} still in flight when it left", counted(left.in_flight, "request"))),
        Some(Err(error)) => note(&format!("the service could not leave: {error}; {LATER}")),
        None => note(&format!("the service could not leave in time; {LATER}")),
    }
}

/// Passes a signal on, and waits for the end of the program. A second signal to stop kills it.
async fn stop(program: &mut Program, signals: &mut Signals, signal: Signal) -> u8 {
    program.pass_on(signal);
    loop {
        tokio::select! {
            biased;
            code = program.ended() => return code,
            again = signals.next() => match again {
                Received::Stop(_) => program.kill(),
                Received::Other(signal) => program.pass_on(signal),
            },
        }
    }
}

/// Ends a program that cannot be a service.
async fn end(program: &mut Program, signals: &mut Signals) {
    if timeout(ENDING, stop(program, signals, Signal::TERM)).await.is_err() {
        program.kill();
        program.ended().await;
    }
}
