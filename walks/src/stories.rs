//! The stories that are told to every Alpes, and the list of them.
//!
//! Each gets what makes an Alpes in which nothing has happened yet, and may ask for several.

pub mod lifecycle;
pub mod seed_004;

/// Hands the list of all stories to a macro, as `module: story, story …;`: so nobody writes it twice.
#[macro_export]
macro_rules! each_story {
    ($then:ident) => {
        $then! {
            lifecycle:
                active_and_paused_campaigns_pause_resume_and_finish_and_twice_is_once,
                finished_and_cancelled_are_final,
                of_a_campaign_that_nobody_registered_everything_is_unknown,
                cancelling_or_finishing_releases_the_reservation_once_and_the_money_can_be_reserved_again,
                cancelling_cancels_the_enrolments_of_the_registration_and_one_made_by_hand_stays,
                finishing_leaves_enrolments_and_records_as_they_are,
                withdrawing_one_partner_by_hand_leaves_the_campaign_and_the_others,
                a_banned_partner_keeps_its_history_and_refuses_what_is_new_until_the_ban_is_lifted,
                a_blocked_partner_has_no_new_events_until_it_is_unblocked,
                a_blocked_campaign_has_no_new_events_of_any_partner_and_no_other_campaign_suffers,
                below_what_is_reserved_a_limit_lets_nothing_new_in_and_takes_nothing_away,
                an_unknown_brand_opens_at_a_million_major_units_of_each_currency_whatever_its_exponent,
                a_brand_may_be_stopped_before_its_first_campaign,
                what_is_enrolled_by_hand_too_early_waits_for_the_campaign_and_without_one_is_forgotten,
                an_event_by_hand_needs_an_enrolment_that_somebody_has_made,
                of_those_who_expect_the_same_version_one_has_its_way_in_one_batch_or_another;
            seed_004:
                exitoso_registers_the_campaign_its_partners_their_events_and_the_reservation_in_that_order,
                registro_evento_fallido_cancels_the_partners_and_then_the_campaign,
                registro_evento_fallido_by_a_block_of_the_whole_campaign_leaves_no_event_at_all,
                registro_partner_fallido_cancels_the_campaign,
                a_budget_beyond_the_limit_is_refused_at_the_pivot_and_undoes_every_row_in_reverse,
                a_budget_of_exactly_what_is_available_passes_and_the_next_cent_does_not,
                what_failed_once_can_be_registered_again_under_another_id_when_the_cause_is_gone;
        }
    };
}
