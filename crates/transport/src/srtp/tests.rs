use super::cipher::{CmKey, GcmKey};
use super::keys::{Counter, Label, Master};
use super::*;
