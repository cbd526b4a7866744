//! Every claim of this module, and for each what breaks it.
