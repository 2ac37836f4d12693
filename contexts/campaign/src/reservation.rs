//! What a brand has set aside for one campaign: approved once, released once.

use seedwork::{Aggregate, Refusal, Refuse};
use serde::{Deserialize, Serialize};
use wire::values::{Money, ReservationId};

/// A reservation; it never comes back once it is released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    id: ReservationId,
    amount: Money,
    status: Status,
}

/// Where a reservation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The account counts it.
    Approved,
    /// The account counts it no longer, for good.
    Released,
}

/// What happened to a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was made.
    Approved,
    /// It was given back.
    Released,
}

/// Why a reservation says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It has been released: an approval that comes after that is late or doubled.
    #[error("the reservation has been released")]
    Released,
    /// It was approved for another amount.
    #[error("the reservation is of {0}")]
    OtherAmount(Money),
}

impl Refuse for Refused {
    fn refusal(&self) -> Refusal {
        match self {
            Refused::Released => Refusal::conflict("reservation-released", self),
            Refused::OtherAmount(_) => Refusal::conflict("reservation-exists", self),
        }
    }
}

impl Reservation {
    /// A new reservation. The account that pays for it checks the amount.
    pub fn approve(id: ReservationId, amount: Money) -> (Reservation, Event) {
        (Reservation { id, amount, status: Status::Approved }, Event::Approved)
    }

    /// Hears the approval once more: it was so already.
    ///
    /// # Errors
    /// When it has been released, or was made for another amount.
    pub fn approve_again(&self, amount: Money) -> Result<(), Refused> {
        match self.status {
            Status::Released => Err(Refused::Released),
            Status::Approved if self.amount != amount => Err(Refused::OtherAmount(self.amount)),
            Status::Approved => Ok(()),
        }
    }

    /// Gives it back.
    pub fn release(&mut self) -> Option<Event> {
        (self.status == Status::Approved).then(|| {
            self.status = Status::Released;
            Event::Released
        })
    }

    /// How much.
    pub fn amount(&self) -> Money {
        self.amount
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Its id.
    pub fn reservation(&self) -> &ReservationId {
        &self.id
    }
}

impl Aggregate for Reservation {
    const KIND: &'static str = "reservation";
    fn id(&self) -> &str {
        self.id.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reservation() -> Reservation {
        Reservation::approve("b-1~c-1".parse().unwrap(), money("15000.00")).0
    }

    fn money(amount: &str) -> Money {
        Money::parse(amount, "USD").unwrap()
    }

    #[test]
    fn an_approval_heard_twice_is_one_approval() {
        let reservation = reservation();
        assert_eq!(reservation.approve_again(money("15000")), Ok(()));
        assert_eq!(reservation.approve_again(money("1")), Err(Refused::OtherAmount(money("15000"))));
        assert_eq!(Refused::OtherAmount(money("1")).refusal().code, "reservation-exists");
    }

    #[test]
    fn it_is_released_once_and_never_comes_back() {
        let mut reservation = reservation();
        assert_eq!(reservation.release(), Some(Event::Released));
        assert_eq!(reservation.release(), None);
        assert_eq!(reservation.approve_again(money("15000")), Err(Refused::Released));
        assert_eq!(Refused::Released.refusal().code, "reservation-released");
        assert_eq!((reservation.status(), reservation.amount()), (Status::Released, money("15000")));
    }
}
