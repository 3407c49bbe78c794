//! The trainable numbers of one layer.

/// Weights and biases of one layer; a gradient has the same shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// Inputs, `k`.
    pub k: usize,
    /// Units, `u`.
    pub u: usize,
    /// Weights, `k` x `u`, row-major.
    pub kernel: Vec<f32>,
    /// One bias for each unit; empty in a layer without bias.
    pub bias: Vec<f32>,
}

impl Parameters {
    /// All zeros, with or without bias.
    pub fn zeros(k: usize, u: usize, use_bias: bool) -> Self {
        Self { k, u, kernel: vec![0.0; k * u], bias: vec![0.0; if use_bias { u } else { 0 }] }
    }

    /// Checks that the parameters are of a layer of `k` inputs and `u` units; a backend calls this once, at its
    /// entrance.
    ///
    /// # Panics
    ///
    /// On any shape that does not fit: a programmer's error.
    pub fn assert_shape(&self, k: usize, u: usize) {
        assert_eq!((self.k, self.u), (k, u), "parameters of the layer's shape");
        let bias = self.bias.len();
        assert!(self.kernel.len() == k * u && (bias == 0 || bias == u), "a kernel of k x u, a bias of u or none");
    }
}
