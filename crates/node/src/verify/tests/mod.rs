//! Every claim of this chapter, and for each what breaks it.

mod home;
mod inquest;
mod proof;
