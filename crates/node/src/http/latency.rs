//! How long the group takes for a bundle, measured between the gateway and the native client.

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::gateway::seam::{GroupRequests, Submission};

/// Passes requests on as they come, and observes how long each submission took, in seconds.
pub(crate) fn measured(mut requests: GroupRequests) -> (GroupRequests, Histogram) {
    // From half a millisecond to half a minute.
    let histogram = Histogram::new(exponential_buckets(0.000_5, 2.0, 16));
    let observed = histogram.clone();
    // The gateway bounds what it has under way; here nothing waits for longer than it takes to be passed on.
    let (pass, submissions) = mpsc::channel(1);
    let queries = requests.queries;
    tokio::spawn(async move {
        while let Some(submission) = requests.submissions.recv().await {
            if pass.send(watched(submission, observed.clone())).await.is_err() {
                return;
            }
        }
    });
    (GroupRequests { submissions, queries }, histogram)
}

/// The same submission, whose outcome is observed on its way back.
fn watched(submission: Submission, histogram: Histogram) -> Submission {
    let Submission { transactions, deadline, reply } = submission;
    let (outcome, observed) = oneshot::channel();
    let since = Instant::now();
    tokio::spawn(async move {
        let mut reply = reply;
        tokio::select! {
            // The gateway has given up: by dropping its end, the client learns of it.
            () = reply.closed() => {}
            outcome = observed => if let Ok(outcome) = outcome {
                histogram.observe(since.elapsed().as_secs_f64());
                let _ = reply.send(outcome);
            },
        }
    });
    Submission { transactions, deadline, reply: outcome }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::gateway::seam::seam;

    #[tokio::test]
    async fn what_passes_is_measured_and_unchanged() {
        let (link, requests) = seam();
        let (mut requests, histogram) = measured(requests);
        let (reply, outcome) = oneshot::channel();
        let deadline = Instant::now() + Duration::from_secs(5);
        link.submissions.send(Submission { transactions: Vec::new(), deadline, reply }).await.unwrap();
        let submission = requests.submissions.recv().await.unwrap();
        assert_eq!(submission.deadline, deadline);
        submission.reply.send(Ok(Vec::new())).unwrap();
        assert_eq!(outcome.await.unwrap(), Ok(Vec::new()));
        assert!(format!("{histogram:?}").contains("count: 1"), "{histogram:?}");
    }

    #[tokio::test]
    async fn whoever_gives_up_is_noticed_and_an_end_ends() {
        let (link, requests) = seam();
        let (mut requests, _) = measured(requests);
        let (reply, outcome) = oneshot::channel();
        link.submissions.send(Submission { transactions: Vec::new(), deadline: Instant::now(), reply }).await.unwrap();
        drop(outcome);
        let mut submission = requests.submissions.recv().await.unwrap();
        submission.reply.closed().await;
        drop(link);
        assert!(requests.submissions.recv().await.is_none());
    }
}
