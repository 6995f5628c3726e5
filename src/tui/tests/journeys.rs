use super::sample::*;
