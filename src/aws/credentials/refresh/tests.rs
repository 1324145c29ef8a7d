//! The keeper, with a clock made of numbers and a source that says what it is told to.

use std::cell::RefCell;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::aws::credentials::tests::{told, NOON};
use crate::callout::testing::response;
use crate::secret::Secret;

/// A source that says what it is told to, with one call for each.
#[derive(Clone)]
struct Scripted(Rc<RefCell<Script>>);

struct Script {
    answer: Result<Credentials, SourceError>,
    asked: usize,
}

impl Provider for Scripted {
    fn begin(&mut self, _: Timestamp) -> Step {
        self.0.borrow_mut().asked += 1;
        let request = http::Request::get("http://source/").body(vec![]).unwrap();
        Step::Call(Callout { upstream: "source".into(), request, timeout: Duration::from_secs(1) })
    }

    fn handle_reply(&mut self, reply: &Reply, _: Timestamp) -> Step {
        match reply {
            Reply::Response(_) => Step::Done(self.0.borrow().answer.clone()),
            Reply::NoResponse(_) => Step::Done(Err(down())),
        }
    }
}

fn down() -> SourceError {
    SourceError::new("the source", "nothing", "whether it is there")
}

fn keys(id: u32, expires_at: Option<Timestamp>) -> Credentials {
    Credentials {
        access_key_id: format!("ASIA{id}"),
        secret_access_key: Secret::new("hunter2"),
        session_token: Some(Secret::new("hunter2")),
        expires_at,
    }
}

fn scripted(answer: Result<Credentials, SourceError>, seed: u64) -> (Keeper, Rc<RefCell<Script>>) {
    let script = Rc::new(RefCell::new(Script { answer, asked: 0 }));
    (Keeper::new(Box::new(Scripted(script.clone())), Timing::default(), seed), script)
}

/// Lets time pass up to `until`, a second at a time, in which every call is answered at once.
fn run(keeper: &mut Keeper, from: Timestamp, until: Timestamp) {
    let mut now = from;
    while now <= until {
        if let Some((call, _)) = keeper.poll(now) {
            keeper.handle_reply(call, &response(200, ""), now);
        }
        now = now + Duration::from_secs(1);
    }
}

fn at(seconds: u64) -> Timestamp {
    NOON + Duration::from_secs(seconds)
}

fn id(keeper: &Keeper, now: Timestamp) -> Option<&str> {
    keeper.current(now).map(|(_, credentials)| credentials.access_key_id.as_str())
}

#[test]
fn credentials_are_refreshed_ahead_of_their_end_and_not_in_step() {
    let mut moments = Vec::new();
    for seed in 0..20 {
        let (mut keeper, script) = scripted(Ok(keys(1, Some(at(3_600)))), seed);
        run(&mut keeper, NOON, at(3_600 - 361));
        assert_eq!(script.borrow().asked, 1, "not before a minute more than five before the end");
        script.borrow_mut().answer = Ok(keys(2, Some(at(7_200))));
        let first = (3_600 - 361..3_600).find(|seconds| {
            run(&mut keeper, at(*seconds), at(*seconds));
            id(&keeper, at(*seconds)) == Some("ASIA2")
        });
        moments.push(first.unwrap());
        assert_eq!(script.borrow().asked, 2);
    }
    assert!(moments.iter().all(|moment| (3_240..=3_301).contains(moment)), "{moments:?}");
    moments.sort_unstable();
    moments.dedup();
    assert!(moments.len() > 5, "{moments:?}");
}

#[test]
fn a_source_that_has_nothing_newer_is_asked_a_few_times_more() {
    let (mut keeper, script) = scripted(Ok(keys(1, Some(at(3_600)))), 7);
    run(&mut keeper, NOON, at(3_599));
    assert!((5..=14).contains(&script.borrow().asked), "{}", script.borrow().asked);
    assert_eq!(id(&keeper, at(3_599)), Some("ASIA1"));
}

#[test]
fn the_old_ones_are_kept_for_a_grace_time_while_the_source_is_down() {
    let (mut keeper, script) = scripted(Ok(keys(1, Some(at(3_600)))), 7);
    run(&mut keeper, NOON, at(10));
    assert_eq!(told(&mut keeper, at(10)).level, Level::Info);
    script.borrow_mut().answer = Err(down());
    run(&mut keeper, at(11), at(3_599));
    assert_eq!(told(&mut keeper, at(3_599)).level, Level::Warn);
    run(&mut keeper, at(3_600), at(4_199));
    assert_eq!(id(&keeper, at(4_199)), Some("ASIA1"), "ten minutes at least");
    run(&mut keeper, at(4_200), at(4_501));
    assert_eq!(id(&keeper, at(4_501)), None, "fifteen at most");
    assert_eq!(told(&mut keeper, at(4_501)).level, Level::Error);
    let asked = script.borrow().asked;
    run(&mut keeper, at(4_502), at(4_502 + 600));
    assert!((20..=45).contains(&(script.borrow().asked - asked)), "every 15 to 30 seconds");
    script.borrow_mut().answer = Ok(keys(2, Some(at(9_000))));
    run(&mut keeper, at(5_103), at(5_140));
    assert_eq!(id(&keeper, at(5_140)), Some("ASIA2"));
    assert_eq!(told(&mut keeper, at(5_140)).level, Level::Info);
}

#[test]
fn while_the_source_is_asked_what_has_ended_is_not_used() {
    let (mut keeper, _) = scripted(Ok(keys(1, Some(at(10)))), 7);
    run(&mut keeper, NOON, NOON);
    let (call, _) = keeper.poll(at(9)).unwrap();
    assert_eq!((id(&keeper, at(9)), id(&keeper, at(10))), (Some("ASIA1"), None));
    keeper.handle_reply(call, &Reply::NoResponse("timeout".into()), at(11));
    assert_eq!(id(&keeper, at(11)), Some("ASIA1"), "the source is down");
}

#[test]
fn what_has_expired_by_aws_s_word_is_never_used_again() {
    let (mut keeper, script) = scripted(Ok(keys(1, None)), 7);
    run(&mut keeper, NOON, NOON);
    let generation = keeper.current(NOON).unwrap().0;
    keeper.refused(generation, true, at(60));
    assert_eq!(id(&keeper, at(60)), None);
    run(&mut keeper, at(60), at(600));
    assert_eq!(id(&keeper, at(600)), None);
    assert!(told(&mut keeper, at(600)).text.contains("the same credentials again, which AWS has called expired"));
    script.borrow_mut().answer = Ok(keys(2, None));
    run(&mut keeper, at(601), at(640));
    assert_eq!(id(&keeper, at(640)), Some("ASIA2"));
    keeper.refused(generation, true, at(641));
    assert_eq!(id(&keeper, at(641)), Some("ASIA2"), "a late refusal of the old ones says nothing of the new");
}

#[test]
fn what_aws_does_not_know_may_be_new_and_is_tried_again_after_a_pause() {
    let (mut keeper, _) = scripted(Ok(keys(1, None)), 7);
    run(&mut keeper, NOON, NOON);
    for (round, most) in [(0, 2), (1, 3), (2, 5), (3, 9)] {
        let now = at(100 * round + 60);
        let generation = keeper.current(now).unwrap().0;
        keeper.refused(generation, false, now);
        assert_eq!(id(&keeper, now), None);
        run(&mut keeper, now, now + Duration::from_secs(most));
        assert_eq!(id(&keeper, now + Duration::from_secs(most)), Some("ASIA1"), "{round}");
    }
}

#[test]
fn a_call_without_an_answer_is_given_up_at_its_deadline() {
    let (mut keeper, script) = scripted(Ok(keys(1, None)), 7);
    let (lost, _) = keeper.poll(NOON).unwrap();
    assert!(keeper.poll(at(5)).is_none());
    assert!(keeper.poll(at(6)).is_none(), "given up, and a pause");
    let (call, _) = keeper.poll(at(7)).unwrap();
    keeper.handle_reply(lost, &response(200, ""), at(7));
    assert_eq!((id(&keeper, at(7)), script.borrow().asked), (None, 2), "a late reply counts for nothing");
    keeper.handle_reply(call, &response(200, ""), at(7));
    assert_eq!(id(&keeper, at(7)), Some("ASIA1"));
}

#[derive(Clone, Debug)]
enum Happens {
    Pass(u64),
    Answer(Option<u32>, Option<u32>),
    Lost,
    Refuse(bool),
}

fn happenings() -> impl Strategy<Value = Vec<Happens>> {
    let one = prop_oneof![
        4 => (1u64..400_000).prop_map(Happens::Pass),
        4 => (proptest::option::of(0u32..4), proptest::option::of(0u32..4_000)).prop_map(|(id, life)| Happens::Answer(id, life)),
        1 => Just(Happens::Lost),
        2 => any::<bool>().prop_map(Happens::Refuse),
    ];
    proptest::collection::vec(one, 1..120)
}

proptest! {
    #[test]
    fn nothing_expired_or_refused_is_handed_out_and_it_never_stops_trying(happenings in happenings(), seed: u64) {
        let (mut keeper, script) = scripted(Err(down()), seed);
        let (mut now, mut expired) = (NOON, Vec::new());
        let mut under_way: Option<CredentialsCall> = None;
        for happens in happenings {
            match happens {
                Happens::Pass(millis) => now = now + Duration::from_millis(millis),
                Happens::Answer(id, life) => {
                    let life = life.map(|seconds| now + Duration::from_secs(seconds.into()));
                    script.borrow_mut().answer = id.map(|id| keys(id, life)).ok_or_else(down);
                    if let Some(call) = under_way.take() {
                        keeper.handle_reply(call, &response(200, ""), now);
                    }
                }
                Happens::Lost => under_way = None,
                Happens::Refuse(for_good) => {
                    if let Some((generation, credentials)) = keeper.current(now) {
                        if for_good {
                            expired.push(credentials.clone());
                        }
                        keeper.refused(generation, for_good, now);
                        prop_assert_eq!(keeper.current(now), None);
                    }
                }
            }
            if let Some((call, _)) = keeper.poll(now) {
                prop_assert!(under_way.is_none_or(|call| !keeper.awaits(call)), "one at a time");
                under_way = Some(call);
            }
            if let Some((_, credentials)) = keeper.current(now) {
                prop_assert!(expired.last() != Some(credentials));
                let grace = Duration::from_secs(900);
                prop_assert!(credentials.expires_at.is_none_or(|end| now < end + grace));
            }
            // Unless what it has lasts for ever, there is a next call within an hour.
            if keeper.current(now).is_none_or(|(_, credentials)| credentials.expires_at.is_some()) {
                let later = now + Duration::from_secs(4_000);
                prop_assert!(keeper.is_busy(later), "it has stopped");
            }
        }
        // And as soon as the source has something, so has the keeper.
        script.borrow_mut().answer = Ok(keys(9, None));
        run(&mut keeper, now + Duration::from_secs(7), now + Duration::from_secs(4_100));
        let got = keeper.current(now + Duration::from_secs(4_100)).map(|(_, credentials)| credentials.expires_at);
        prop_assert_eq!(got, Some(None));
    }
}

#[test]
fn a_clock_that_is_set_back_delays_no_call() {
    let back = |seconds| Timestamp(at(seconds).0 - 3_600_000);
    let (mut keeper, script) = scripted(Err(down()), 7);
    run(&mut keeper, at(0), at(10));
    let asked = script.borrow().asked;
    run(&mut keeper, back(10), back(60));
    assert!(script.borrow().asked > asked, "after a failure");

    let (mut keeper, script) = scripted(Ok(keys(1, None)), 7);
    run(&mut keeper, at(0), at(10));
    let (generation, _) = keeper.current(back(10)).unwrap();
    keeper.poll(back(10));
    keeper.refused(generation, true, back(10));
    run(&mut keeper, back(10), back(15));
    assert!(script.borrow().asked > 1, "after a refusal");

    let (mut keeper, _) = scripted(Ok(keys(1, None)), 7);
    let (call, _) = keeper.poll(at(0)).unwrap();
    keeper.poll(back(1));
    assert!(keeper.awaits(call));
    keeper.poll(back(8));
    assert!(!keeper.awaits(call), "a call without a reply is lost in its time");
}
