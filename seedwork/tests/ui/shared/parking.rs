//! A small business for the cases: a car park, and a shop that gives its customers a voucher.
#![allow(dead_code, missing_docs)]

use apache_avro::AvroSchema;
use serde::{Deserialize, Serialize};

pub mod shop {
    use super::*;
    seedwork::messages! {
        context Shop = "shop", version 1;
        commands { Give "give" by car; TakeBack "take-back" by car; }
    }
    #[derive(Serialize, Deserialize, AvroSchema)]
    pub struct Give { pub car: String }
    #[derive(Serialize, Deserialize, AvroSchema)]
    pub struct TakeBack { pub car: String }
}

seedwork::messages! {
    context Parking = "parking", version 1;
    commands { Reserve "reserve" by car; Free "free" by car; Open "open" by car; }
    events { Entered "entered" by car; }
}
#[derive(Serialize, Deserialize, AvroSchema)]
pub struct Reserve { pub car: String }
#[derive(Serialize, Deserialize, AvroSchema)]
pub struct Free { pub car: String }
#[derive(Serialize, Deserialize, AvroSchema)]
pub struct Open { pub car: String }
#[derive(Serialize, Deserialize, AvroSchema)]
pub struct Entered { pub car: String }

#[derive(Serialize, Deserialize)]
pub struct Stay {
    pub car: String,
}

impl Stay {
    pub fn reserve(&self) -> Reserve {
        Reserve { car: self.car.clone() }
    }
    pub fn free(&self) -> Free {
        Free { car: self.car.clone() }
    }
    pub fn open(&self) -> Open {
        Open { car: self.car.clone() }
    }
    pub fn entered(&self) -> Entered {
        Entered { car: self.car.clone() }
    }
    pub fn take_back(&self) -> shop::TakeBack {
        shop::TakeBack { car: self.car.clone() }
    }
}
