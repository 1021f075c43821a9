//! A bridge that has too much to do, and one whose keys are used up.

use super::*;
use crate::Input;
use althing_control::{BridgeEvent, EndpointState};
use althing_model::ConferenceId;

#[test]
fn a_bridge_with_too_much_to_do_serves_a_newcomer_later_and_nobody_is_told_of_an_end() {
    let (mut world, _, _) = World::pair(JSON);
    world.inboxes.clear();
    world.arrive("c", JSON);
    let presences = world.presences.len();
    let mut asked = 0;
    for _ in 0..60 {
        while world.answer_bridge(|_| {
            Ok(BridgeReply::Refused {
                code: RefusalCode::Overloaded,
                reason: "full".into(),
            })
        }) {
            asked += 1;
        }
        world.pass(Duration::from_secs(1));
    }
    assert!((4..=7).contains(&asked), "{asked}");
    assert_eq!(world.presences.len(), presences);
    world.pass(Duration::from_secs(30));
    world.obey();
    offer_in(&world.inbox("c"));
}

fn said(endpoint: &str, state: EndpointState) -> Input {
    Input::BridgeEvent(BridgeEvent::EndpointState {
        conference: ConferenceId::new("c1").unwrap(),
        endpoint: EndpointId::new(endpoint).unwrap(),
        state,
    })
}

#[test]
fn who_a_bug_ended_is_invited_again_and_a_bug_that_repeats_itself_is_not_followed() {
    let (mut world, _, _) = World::pair(JSON);
    world.inboxes.clear();
    let mut invited = 0;
    for _ in 0..30 {
        world.input(said("a", EndpointState::Lost));
        world.obey();
        let seen = actions(&world.inbox("a"));
        let again = seen == ["session-terminate", "session-initiate"];
        assert!(again || seen.is_empty(), "{seen:?}");
        invited += usize::from(again);
        world.inboxes.clear();
        world.pass(Duration::from_secs(1));
    }
    assert!((2..=5).contains(&invited), "{invited}");
    // Those who failed by themselves ask by themselves.
    world.pass(Duration::from_secs(60));
    world.inboxes.clear();
    for state in [EndpointState::Failed, EndpointState::Expired] {
        world.input(said("a", state));
        world.obey();
        assert!(actions(&world.inbox("a")).is_empty());
    }
}

#[test]
fn an_endpoint_with_worn_out_keys_is_made_anew_once() {
    let (mut world, _, _) = World::pair(JSON);
    world.inboxes.clear();
    let worn_out = |endpoint: &str| said(endpoint, EndpointState::WornOut);
    world.input(worn_out("a"));
    // Said again while a new one is made, and of somebody who is not here.
    world.input(worn_out("a"));
    world.input(worn_out("nobody"));
    let asked = world.obey();
    let allocated = |request: &&BridgeRequest| matches!(request, BridgeRequest::Allocate(_));
    assert_eq!(asked.iter().filter(allocated).count(), 1);
    assert_eq!(
        actions(&world.inbox("a")),
        ["session-terminate", "session-initiate"]
    );
}
