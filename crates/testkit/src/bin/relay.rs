//! Puts delay and disorder between real programs: `relay LISTEN SERVER DELAY_MS JITTER_MS`.
//!
//! Clients that send to LISTEN reach SERVER, each datagram DELAY_MS later plus anything up to
//! JITTER_MS, in both directions. The first line it writes is the address it listens at. It ends
//! with its standard input, and then writes what went through as JSON.

use althing_testkit::{Passed, Relay, Weather};
use std::env::args;
use std::error::Error;
use std::io::{Read, Write, stdin, stdout};
use std::thread;
use std::time::Duration;

const USAGE: &str = "usage: relay LISTEN SERVER DELAY_MS JITTER_MS";

fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<String> = args().skip(1).collect();
    let [listen, server, delay, jitter] = given.as_slice() else {
        return Err(USAGE.into());
    };
    let weather = Weather {
        delay: Duration::from_millis(delay.parse()?),
        jitter: Duration::from_millis(jitter.parse()?),
        lost: 0,
        doubled: 0,
        corrupted: 0,
    };
    let relay = Relay::new(listen.parse()?, server.parse()?, weather)?;
    writeln!(stdout(), "{}", relay.address()?)?;
    let end = relay.end();
    thread::Builder::new().spawn(move || {
        // Nobody speaks to it; when nobody is left to, it goes.
        stdin().read_to_end(&mut Vec::new()).ok();
        end.now();
    })?;
    let traffic = relay.run()?;
    let [up, down] = [traffic.up, traffic.down].map(json);
    writeln!(stdout(), r#"{{"up":{up},"down":{down}}}"#)?;
    Ok(())
}

fn json(passed: Passed) -> String {
    let Passed {
        delivered,
        overtaken,
    } = passed;
    format!(r#"{{"delivered":{delivered},"overtaken":{overtaken}}}"#)
}
