//! Claims about when bundles go, in paused time.

use std::collections::VecDeque;

use bezant_types::transaction::{Answer, Operation};

use super::*;
use crate::gateway::commands::{Order, surroundings};
use crate::gateway::queue::Settled;

/// A bundler, its connections, and the native client, which the test plays.
struct World {
    groups: mpsc::Sender<Group>,
    submissions: mpsc::Receiver<Submission>,
    around: Arc<Surroundings>,
}

impl World {
    fn new() -> Self {
        let around = Arc::new(surroundings(|_| ()));
        let (groups, received) = mpsc::channel(100);
        let (submit, submissions) = mpsc::channel(64);
        tokio::spawn(Bundler::new(Arc::clone(&around), received, submit).run());
        Self { groups, submissions, around }
    }

    async fn push(&self, commands: usize) -> oneshot::Receiver<Settled> {
        let orders = (0..commands).map(|_| {
            let Order { transaction, size, .. } = Order::height();
            (transaction, size)
        });
        let (group, verdicts) = Group::new(orders.collect::<VecDeque<_>>().into(), Instant::now());
        self.groups.send(group).await.unwrap();
        verdicts
    }

    async fn submission(&mut self, commands: usize) -> Submission {
        let submission = self.submissions.recv().await.unwrap();
        assert_eq!(submission.transactions.len(), commands);
        assert!(submission.transactions.iter().all(|one| one.operations == [Operation::Height]));
        submission
    }

    /// Nothing more is sent as long as nothing happens.
    async fn expect_nothing(&mut self) {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(self.submissions.try_recv().is_err());
    }
}

fn answer(submission: Submission) {
    let receipts = submission.transactions.iter().map(|_| Ok(vec![Answer::Integer(1)])).collect();
    submission.reply.send(Ok(receipts)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lone_command_goes_at_once() {
    let mut world = World::new();
    let before = Instant::now();
    let verdicts = world.push(1).await;
    let submission = world.submission(1).await;
    assert_eq!(Instant::now(), before);
    assert_eq!(submission.deadline, before + world.around.options.patience);
    answer(submission);
    assert_eq!(verdicts.await.unwrap().verdicts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_arrives_together_travels_together() {
    let mut world = World::new();
    let (_one, _two) = (world.push(3).await, world.push(4).await);
    world.submission(7).await;
}

#[tokio::test(start_paused = true)]
async fn load_gathers_into_bundles_as_large_as_those_under_way() {
    let mut world = World::new();
    let _first = world.push(10).await;
    let first = world.submission(10).await;
    let _some = world.push(4).await;
    world.expect_nothing().await;
    let _enough = world.push(6).await;
    let second = world.submission(10).await;
    let _more = world.push(1).await;
    world.expect_nothing().await;
    answer(first);
    world.expect_nothing().await;
    answer(second);
    world.submission(1).await;
}

#[tokio::test(start_paused = true)]
async fn no_more_bundles_are_under_way_than_there_are_slots() {
    let mut world = World::new();
    let slots = world.around.options.bundles_in_flight;
    let mut under_way = Vec::new();
    for _ in 0..slots {
        let verdicts = world.push(1).await;
        under_way.push((world.submission(1).await, verdicts));
    }
    let _waiting = world.push(100).await;
    world.expect_nothing().await;
    let (submission, verdicts) = under_way.pop().unwrap();
    answer(submission);
    verdicts.await.unwrap();
    world.submission(100).await;
}

#[tokio::test(start_paused = true)]
async fn a_native_client_that_is_silent_is_given_up_after_its_deadline() {
    let mut world = World::new();
    let before = Instant::now();
    let verdicts = world.push(2).await;
    let submission = world.submission(2).await;
    let waited = world.around.options.patience + GRACE;
    assert_eq!(verdicts.await.unwrap().verdicts, vec![Err(Failure::Silent { waited }); 2]);
    assert_eq!(Instant::now(), before + waited);
    assert!(submission.reply.is_closed());
    // And the next one is tried.
    let verdicts = world.push(1).await;
    answer(world.submission(1).await);
    assert!(verdicts.await.unwrap().verdicts[0].is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_lost_bundles_is_answered_too() {
    let mut world = World::new();
    let before = Instant::now();
    let mut lost = Vec::new();
    for _ in 0..world.around.options.bundles_in_flight {
        let verdicts = world.push(1).await;
        lost.push((world.submission(1).await, verdicts));
    }
    let verdicts = world.push(5).await;
    let waited = world.around.options.patience;
    assert_eq!(verdicts.await.unwrap().verdicts, vec![Err(Failure::NotSent { waited }); 5]);
    assert_eq!(Instant::now(), before + waited);
}

#[tokio::test(start_paused = true)]
async fn a_native_client_that_is_gone_is_an_answer() {
    let World { groups, submissions, around } = World::new();
    drop(submissions);
    let world = World { groups, submissions: mpsc::channel(1).1, around };
    let verdicts = world.push(1).await;
    assert_eq!(verdicts.await.unwrap().verdicts, [Err(Failure::Submit(SubmitError::ShuttingDown))]);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_native_client_reaches_all_commands_of_the_bundle() {
    let mut world = World::new();
    let (one, two) = (world.push(1).await, world.push(2).await);
    let error = SubmitError::NoQuorum { waited: Duration::from_secs(5), replies: 1, needed: 2 };
    world.submission(3).await.reply.send(Err(error.clone())).unwrap();
    assert_eq!(one.await.unwrap().verdicts, [Err(Failure::Submit(error.clone()))]);
    assert_eq!(two.await.unwrap().verdicts, vec![Err(Failure::Submit(error)); 2]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_while_answers_that_nobody_takes_pile_up() {
    let mut world = World::new();
    let around = Arc::clone(&world.around);
    let mut hoard = around.budget.share();
    hoard.overdraw(around.budget.limit() + 1);
    let verdicts = world.push(1).await;
    world.expect_nothing().await;
    hoard.give_back(1);
    answer(world.submission(1).await);
    assert!(verdicts.await.unwrap().verdicts[0].is_ok());
    // And if they are never taken, there is an answer all the same.
    hoard.overdraw(1);
    let waited = world.around.options.patience;
    let verdicts = world.push(1).await;
    assert_eq!(verdicts.await.unwrap().verdicts, [Err(Failure::NotSent { waited })]);
}
