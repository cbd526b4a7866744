//! What clients rely on: validity, exactly once, liveness.

use bezant_sim::sight::Sight;
use bezant_types::transaction::{Answer, Outcome};
use bezant_types::{Bundle, RequestNumber, Transaction};

use crate::network::{
    LIAR, LIVENESS_MS, Trial, add, answered, block, delivered, executed, execution, get, installed, outcome, request,
    signed_request,
};

#[test]
fn what_was_asked_for_may_be_delivered_and_executed() {
    let mut trial = Trial::with_lying_client("validity");
    let (honest, liars) = (request(0, 1, get("k")), request(LIAR, 1, get("k")));
    let block = block(1, &[honest.clone(), liars.clone()]);
    let executions =
        [execution(&honest, outcome(Answer::Value(None)), true), execution(&liars, outcome(Answer::Value(None)), true)];
    trial.asks(0, &honest);
    for replica in 0..3 {
        trial.accepts(delivered(replica, &block)).accepts(executed(replica, 1, &executions, None));
    }
    trial.boots(0, 0).accepts(executed(0, 1, &executions, None));
}

#[test]
fn what_an_honest_client_never_asked_for_is_a_crime() {
    let mut trial = Trial::of("validity");
    trial.asks(0, &request(0, 1, get("k")));
    let other_body = block(1, &[request(0, 1, add("k", 5))]);
    trial.refuses(delivered(0, &other_body), "never asked for");
    trial.refuses(delivered(0, &block(1, &[request(1, 1, get("k"))])), "never asked for");
}

#[test]
fn what_a_lying_client_did_not_sign_is_a_crime() {
    let bundle = Bundle { number: RequestNumber::new(1), transactions: vec![Transaction::single(get("k"))] };
    let forged = block(1, &[signed_request(LIAR, 0, bundle.clone())]);
    Trial::with_lying_client("validity").refuses(delivered(0, &forged), "did not sign");
    let stranger = block(1, &[signed_request(7, 7, bundle)]);
    Trial::with_lying_client("validity").refuses(delivered(0, &stranger), "a stranger's");
}

#[test]
fn bodies_and_executions_that_are_not_the_batchs_are_crimes() {
    let (one, two) = (request(0, 1, get("k")), request(0, 2, get("k")));
    let trial = || {
        let mut trial = Trial::of("validity");
        trial.asks(0, &one).asks(0, &two);
        trial
    };
    let mut swapped = block(1, std::slice::from_ref(&one));
    swapped.requests = vec![two.clone()];
    trial().refuses(delivered(0, &swapped), "other bodies");
    let block = block(1, std::slice::from_ref(&one));
    let done = |request| [execution(request, outcome(Answer::Value(None)), true)];
    trial().accepts(delivered(0, &block)).refuses(executed(0, 1, &done(&two), None), "executes other requests");
    trial().accepts(delivered(0, &block)).refuses(executed(0, 1, &[], None), "executes other requests");
    trial().refuses(executed(0, 1, &done(&one), None), "which nobody delivered");
}

#[test]
fn a_request_that_comes_again_gets_what_it_got() {
    let mut trial = Trial::of("exactly-once");
    let (one, other) = (request(0, 1, add("k", 1)), request(0, 1, add("k", 2)));
    let first = [execution(&one, outcome(Answer::Integer(1)), true)];
    let again = [
        execution(&one, outcome(Answer::Integer(1)), false),
        execution(&other, Outcome::NumberReused, false),
        execution(&one, Outcome::NotKept { outcome: crate::network::digest(1) }, false),
    ];
    let later = [execution(&request(0, 17, get("k")), outcome(Answer::Value(None)), true)];
    let late = [execution(&one, Outcome::Expired, false)];
    for replica in 0..3 {
        trial.accepts(executed(replica, 1, &first, None)).accepts(executed(replica, 2, &again, None));
        trial.accepts(executed(replica, 3, &later, None)).accepts(executed(replica, 4, &late, None));
    }
    trial.boots(0, 0).accepts(executed(0, 1, &first, None)).accepts(executed(0, 2, &again, None));
}

#[test]
fn a_second_execution_is_a_crime() {
    let one = request(0, 1, add("k", 1));
    let first = [execution(&one, outcome(Answer::Integer(1)), true)];
    let after_first = || {
        let mut trial = Trial::of("exactly-once");
        trial.accepts(executed(0, 1, &first, None));
        trial
    };
    let second = [execution(&one, outcome(Answer::Integer(2)), true)];
    after_first().refuses(executed(0, 2, &second, None), "executed again");
    after_first().refuses(executed(1, 1, &second, None), "other outcomes");
    after_first().boots(0, 0).refuses(executed(0, 1, &second, None), "other outcomes");
    after_first().refuses(executed(1, 1, &[], None), "other outcomes");
    let kept_wrong = [execution(&one, outcome(Answer::Integer(2)), false)];
    after_first().refuses(executed(0, 2, &kept_wrong, None), "without being executed");
    let expired = [execution(&one, Outcome::Expired, false)];
    after_first().refuses(executed(0, 2, &expired, None), "without being executed");
    let unknown = [execution(&request(0, 2, get("k")), outcome(Answer::Value(None)), false)];
    after_first().refuses(executed(0, 2, &unknown, None), "without being executed");
    let reused = [execution(&one, Outcome::NumberReused, false)];
    after_first().refuses(executed(0, 2, &reused, None), "without being executed");
}

#[test]
fn who_is_served_within_the_bound_has_no_complaint() {
    let mut trial = Trial::of("liveness");
    let told = outcome(Answer::Value(None));
    trial.boots(0, 0).boots(1, 0).boots(2, 0).asks(0, &request(0, 1, get("k")));
    trial.pass(60_000).asks(0, &request(0, 2, get("k"))).accepts(executed(0, 1, &[], None)).accepts_the_end();
    trial.accepts(Sight::Stabilised);
    trial.pass(LIVENESS_MS).accepts(answered(0, 2, &told)).accepts(answered(0, 1, &told));
    trial.accepts(executed(1, 1, &[], None)).accepts(installed(2, 1, crate::network::digest(1)));
    trial.pass(10).accepts(executed(0, 2, &[], None)).asks(0, &request(0, 3, get("k")));
    trial.pass(LIVENESS_MS).accepts_the_end();
}

#[test]
fn a_request_without_an_answer_is_a_crime_when_all_is_calm() {
    let mut trial = Trial::of("liveness");
    trial.asks(0, &request(0, 1, get("k"))).accepts(Sight::Stabilised).pass(LIVENESS_MS).accepts_the_end();
    trial.pass(1).refuses_the_end("request 1 of client 0");
    let mut noticed = Trial::of("liveness");
    let told = outcome(Answer::Value(None));
    noticed.accepts(Sight::Stabilised).asks(0, &request(0, 1, get("k"))).asks(0, &request(0, 2, get("k")));
    noticed.pass(LIVENESS_MS + 1).refuses(answered(0, 2, &told), "request 1 of client 0");
}

#[test]
fn a_replica_that_stays_behind_is_a_crime_when_all_is_calm() {
    let mut trial = Trial::of("liveness");
    trial.boots(0, 0).boots(1, 0).boots(2, 0).accepts(Sight::Stabilised);
    trial.accepts(executed(0, 1, &[], None)).accepts(executed(1, 1, &[], None));
    trial.pass(LIVENESS_MS).accepts_the_end();
    trial.pass(1).refuses_the_end("replica 2 has executed up to 0");
}
