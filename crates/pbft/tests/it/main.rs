//! The replica and the client under everything that may happen to them.
//!
//! [`world::World`] is a group in virtual time: real replicas; around them a network that delays, loses, repeats,
//! reorders and splits, disks that crash between step and sync and between sync and effects, executors, clients, and
//! members that lie. One seed decides everything. A test that fails prints its seed and what happened, one line an
//! event.
//!
//! # What must hold after every event
//!
//! The oracle ([`oracle`]) sees what leaves the honest members and what reaches their executors, and shares no code
//! with the core: no two honest members deliver different batches at one sequence number; blocks come without a gap,
//! each once; equal heights have equal roots; each request is executed once. Nothing that binds is said unless the log
//! holds what licenses it, and through all its lives no honest member contradicts itself, says anything in a view that
//! it left, or votes above its window. No honest member is ever accused, and every accusation convicts. When the
//! network is kind again, everything that was asked is answered within a bound.
//!
//! # The rules
//!
//! | rule | tests |
//! |---|---|
//! | P-1 | `normal::a_request_that_is_ordered_twice_is_executed_once`, `normal::requests_that_are_not_authentic_are_turned_away_at_the_door` |
//! | P-2 | `normal::a_backup_prepares_what_its_primary_proposes` and the refusals after it, one for each condition |
//! | P-3 | `normal::the_primarys_prepare_is_refused_and_does_not_count`, `normal::a_slot_commits_in_whatever_order_its_messages_arrive` |
//! | P-4 | `normal::prepares_count_once_each_and_for_their_own_batch_only` |
//! | P-5 | `normal::commits_count_once_each_and_a_quorum_of_them_decides`, `decided` |
//! | P-6 | `normal::slots_commit_in_any_order_and_execute_in_theirs` |
//! | P-7 | `clients::a_client_is_served_by_f_plus_one_honest_replicas`, and beside the client in `src/client.rs` |
//! | P-8 | `clients::requests_that_only_backups_have_are_passed_on_to_the_primary` and the three after it, `clients::a_flood_is_served_in_its_order_and_moves_no_view`, `clients::a_request_that_others_of_its_client_overtake_is_owed`, `clients::a_full_share_keeps_out_nothing_that_is_watched`, `clients::falling_behind_for_a_moment_forgets_nobody` |
//! | C-1 | `checkpoints::a_replica_vouches_for_its_state_every_k_sequence_numbers`, `checkpoints::an_idle_group_rests_on_a_stable_checkpoint` |
//! | C-2 | `checkpoints::a_checkpoint_is_stable_with_a_quorum_of_equal_and_distinct_vouchers`, `normal::a_window_below_two_checkpoint_intervals_is_refused` |
//! | C-3 | `checkpoints::the_window_does_not_move_past_what_was_executed` |
//! | C-4 | `checkpoints::f_members_that_claim_to_be_far_ahead_move_nobody`, `checkpoints::f_plus_one_members_beyond_the_window_make_a_replica_ask` |
//! | P-9 | `pace`, all of it |
//! | V-1 | `view_change::nothing_is_said_in_a_view_that_was_left`, `view_change::a_view_change_carries_what_prepared`, `new_view::a_view_change_holds_together_or_not_at_all` |
//! | V-2 | `new_view::a_new_view_begins_at_the_highest_proven_checkpoint`, `new_view::the_proof_with_the_highest_view_counts_in_whatever_order_the_proofs_come` |
//! | V-3 | `new_view::a_new_view_with_other_proposals_than_follow_is_refused`, `new_view::a_new_view_stands_on_a_quorum_of_distinct_view_changes_for_its_view` |
//! | V-4 | `new_view::the_primary_of_a_new_view_is_held_to_what_it_prescribes`, `catch_up::a_new_primary_fetches_the_bodies_of_what_it_must_propose_again` |
//! | V-5 | `view_change::the_new_view_timer_waits_for_a_quorum`, `view_change::timeouts_double_up_to_a_bound_and_fall_back_with_progress`, `view_change::a_member_that_went_further_counts_for_the_timer` |
//! | V-6 | `view_change::f_plus_one_view_changes_move_a_replica_to_the_nearest_of_their_views` |
//! | V-7 | `view_change::a_replica_in_a_view_change_executes_what_others_prove`, `catch_up::a_decided_block_proves_itself_or_is_nothing` |
//! | A-1 and restart | `lost_log` and `restart`, all of them |
//!
//! # The hazards
//!
//! | hazard | test, or why it cannot happen here |
//! |---|---|
//! | 1 | `scrutiny`, `view_change::an_equivocating_primary_splits_nobody_and_is_replaced`, `normal::a_backup_does_not_prepare_two_digests_for_one_sequence_number`, `campaign` |
//! | 2, 3 | `normal::prepares_count_once_each_and_for_their_own_batch_only`, `normal::commits_count_once_each_and_a_quorum_of_them_decides`, `checkpoints::a_checkpoint_is_stable_with_a_quorum_of_equal_and_distinct_vouchers` |
//! | 4 | `normal::the_primarys_prepare_is_refused_and_does_not_count` |
//! | 5 | `normal::a_slot_commits_in_whatever_order_its_messages_arrive` |
//! | 6, 7, 8 | `normal::votes_that_their_signer_did_not_cast_are_turned_away_at_the_door`, `catch_up::a_status_or_a_fetch_comes_from_its_signer_only` |
//! | 9, 27 | `golden.rs`; the frames around packets are the node's |
//! | 10 | `normal::a_batch_under_a_wrong_digest_does_not_occupy_the_slot` |
//! | 11 | `normal::a_malformed_batch_is_refused_and_costs_the_primary_its_view`, and beside `Batch` |
//! | 12 | `normal::a_slot_needs_exactly_a_quorum_whatever_the_size_of_the_group`, `campaign::five_and_six_replicas_keep_their_larger_quorums`, and `types` |
//! | 13 | `normal::requests_that_are_not_authentic_are_turned_away_at_the_door`: a proposal names digests, and a body that is not authentic never comes in, so such a batch is never accepted by anybody |
//! | 14 | `normal::votes_that_their_signer_did_not_cast_are_turned_away_at_the_door`: other parameters are another genesis; the handshake is the node's |
//! | 15, 31 | `view_change::gaps_that_a_primary_leaves_are_filled_with_null` |
//! | 16 | `normal::proposals_and_votes_outside_the_window_are_refused` |
//! | 17 | `normal::a_window_below_two_checkpoint_intervals_is_refused` |
//! | 18 | `checkpoints::late_checkpoints_cost_no_view_change` |
//! | 19 | `checkpoints::the_window_does_not_move_past_what_was_executed` |
//! | 20 | `checkpoints::f_members_that_claim_to_be_far_ahead_move_nobody` |
//! | 21, 87 | `checkpoints::a_slow_executor_vouches_for_what_it_has_executed` |
//! | 22, 88 | `checkpoints::a_replica_whose_execution_diverges_halts_alone`; snapshots are the ledger's |
//! | 23, 24 | `checkpoints::a_flood_of_votes_from_one_member_is_bounded`, `view_change::a_flood_of_view_changes_from_one_member_is_bounded` |
//! | 25 | `normal::a_backup_does_not_prepare_two_digests_for_one_sequence_number` |
//! | 26 | `checkpoints::memory_and_log_are_bounded_while_one_replica_is_down` |
//! | 28 | Nothing is compressed. |
//! | 29 | `view_change::what_committed_at_one_replica_alone_survives_the_view_change` |
//! | 30 | `new_view::the_proof_with_the_highest_view_counts_in_whatever_order_the_proofs_come`, `new_view::a_new_primary_proposes_what_has_the_highest_view` |
//! | 32, 38 | `new_view::a_new_view_begins_at_the_highest_proven_checkpoint`, `view_change::replicas_with_different_water_marks_agree_on_a_new_view` |
//! | 33 | `new_view::a_new_view_stands_on_a_quorum_of_distinct_view_changes_for_its_view` |
//! | 34 | `new_view::a_new_view_with_other_proposals_than_follow_is_refused` |
//! | 35, 36, 37 | `new_view::a_view_change_holds_together_or_not_at_all`, `new_view::a_bogus_proof_does_not_hide_a_valid_one` |
//! | 39 | `view_change::requests_are_executed_once_over_many_view_changes` |
//! | 40 | Nothing is executed before it is committed. |
//! | 41 | `view_change::nothing_is_said_in_a_view_that_was_left`, and the oracle everywhere |
//! | 42 | `view_change::f_plus_one_view_changes_move_a_replica_to_the_nearest_of_their_views`, `view_change::the_last_view_is_the_last` |
//! | 43 | `view_change::timeouts_double_up_to_a_bound_and_fall_back_with_progress`, `view_change::a_view_change_succeeds_at_every_latency` |
//! | 44, 45 | `pace::a_primary_just_below_the_timeout_is_replaced_and_throughput_comes_back`, `pace::a_primary_that_orders_one_request_at_a_time_is_replaced`, `pace::what_makes_timeouts_grow_buys_no_slowness` |
//! | 46 | `view_change::a_primary_that_censors_one_client_is_replaced`, `clients::accomplices_in_the_line_buy_half_a_timeout_each`, `clients::who_is_served_goes_to_the_end_of_the_line` |
//! | 47 | `view_change::a_silent_primary_is_replaced_within_two_timeouts` |
//! | 48 | `catch_up::a_missing_body_is_fetched_before_anything_is_said`, `catch_up::a_new_primary_fetches_the_bodies_of_what_it_must_propose_again`, `catch_up::a_batch_that_nobody_has_is_waited_for_and_not_replaced` |
//! | 49 | `view_change::a_new_primary_that_crashes_while_it_opens_its_view_is_replaced`, `campaign` |
//! | 50 | `view_change::a_checkpoint_that_becomes_stable_during_a_view_change_does_no_harm` |
//! | 51 | There are no threads: a step takes one input and returns. |
//! | 52, 53 | `view_change::a_replica_alone_in_a_later_view_still_learns_what_the_others_commit`, `view_change::a_replica_in_a_view_change_executes_what_others_prove` |
//! | 54, 55 | `restart::a_crash_at_any_point_contradicts_nothing_and_loses_nothing`, `restart::a_vote_that_was_not_durable_was_not_said`; real disks are the store's |
//! | 56, 57, 60, 61 | The store's and the node's. What a log may say is checked here: `restart::a_log_is_believed_only_as_far_as_it_proves_itself` |
//! | 58, 59 | `restart::a_group_that_crashed_between_votes_and_certificates_proceeds`, `restart::a_group_that_was_down_for_long_proceeds_although_its_proposals_are_old` |
//! | 62, 63 | `restart::an_old_saved_state_and_a_young_log_make_one_replica`, `restart::nobody_votes_below_a_proven_checkpoint_after_a_restart` |
//! | 65 | `catch_up::a_decided_block_proves_itself_or_is_nothing`, `checkpoints::a_stable_checkpoint_is_checked_like_any_certificate` |
//! | 66, 67, 69, 70 | `catch_up` |
//! | 72 | `clients::of_two_requests_under_one_number_one_is_executed`, `catch_up::an_old_request_is_not_executed_again_after_a_transfer` |
//! | 73 | `clients::the_last_request_number_hurts_nobody` |
//! | 74 | `clients::a_client_has_many_requests_under_way_at_once` |
//! | 75 | The ledger's: clients are those of the genesis, windows are bounded. |
//! | 76 | Requests are signed, not authenticated for one receiver: what one replica accepts all accept. |
//! | 77, 78 | Beside the client in `src/client.rs`. |
//! | 79 | Reads are ordered like writes; the gateway's history is checked in the node. |
//! | 80 | `clients::a_group_recovers_from_the_repetitions_of_all_its_clients` |
//! | 81 | `clients::a_client_that_floods_fills_its_own_share_only`, `clients::a_flood_in_descending_order_moves_no_view` |
//! | 82 | The node's. |
//!
//! # The four mutants
//!
//! The mistakes that other implementations made, made here on a copy, and what noticed:
//!
//! * *A new view proposes null for everything and drops the proofs*: `digest_at` of `Plan::compute` returns the null
//!   digest. Killed by `new_view::a_new_view_with_other_proposals_than_follow_is_refused` and
//!   `view_change::what_committed_at_one_replica_alone_survives_the_view_change`.
//! * *The first proof for a slot is taken, not the one with the highest view*: the comparison in `Plan::compute` is
//!   removed. Killed by `new_view::the_proof_with_the_highest_view_counts_in_whatever_order_the_proofs_come`. *A
//!   replica's view change counts twice*: `<` becomes `<=` in `check_quorum`. Killed by
//!   `new_view::a_new_view_stands_on_a_quorum_of_distinct_view_changes_for_its_view`.
//! * *No prepared certificates are carried*: `start_view_change` sends an empty set. Killed by
//!   `view_change::a_view_change_carries_what_prepared` and
//!   `view_change::what_committed_at_one_replica_alone_survives_the_view_change`.
//! * *The view changes in a new view are not checked to be a quorum, distinct, for that view*: each of the three
//!   conditions of `check_quorum` removed by itself. Killed by
//!   `new_view::a_new_view_stands_on_a_quorum_of_distinct_view_changes_for_its_view`.

mod campaign;
mod catch_up;
mod checkpoints;
mod clientele;
mod clients;
mod decided;
mod forensics;
mod help;
mod ledger;
mod lost_log;
mod memory;
mod network;
mod new_view;
mod node;
mod normal;
mod oracle;
mod pace;
mod restart;
mod script;
mod scrutiny;
mod traitors;
mod view_change;
mod world;
