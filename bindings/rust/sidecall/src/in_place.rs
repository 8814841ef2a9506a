//! Runs that look nothing up: one input and one output in place.

use std::fmt;
use std::marker::PhantomData;

use crate::{Call, Element, Input, Output, Result};

/// Runs of a call with one input that is written in place, and one output that is read in place;
/// see [`Call::in_place`].
pub struct InPlace<'c, I, O> {
    call: &'c mut Call,
    input: (*mut I, usize),
    output: Output,
    /// The memory of the output, if it stays where it is.
    known: Option<(*const O, usize)>,
    stays: bool,
    memory: PhantomData<&'c mut I>,
}

impl<I, O> fmt::Debug for InPlace<'_, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InPlace")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

// SAFETY: the pointers are to memory of the call, which is Send, and which this value alone uses.
unsafe impl<I: Send, O: Send> Send for InPlace<'_, I, O> {}

impl<'c, I: Element, O: Element> InPlace<'c, I, O> {
    pub(crate) fn new(call: &'c mut Call, input: Input, output: Output) -> Result<Self> {
        let numbers = call.input(input)?.as_mut_slice::<I>()?.as_mut_ptr_range();
        // SAFETY: both ends belong to the same slice.
        let length = unsafe { numbers.end.offset_from(numbers.start) };
        let view = call.output(output)?;
        view.require_type::<O>()?;
        // The memory of an output stays where it is if its shape follows from the inputs.
        let stays = view.dims().is_some();
        Ok(Self {
            call,
            input: (numbers.start, length.unsigned_abs()),
            output,
            known: None,
            stays,
            memory: PhantomData,
        })
    }

    /// The elements of the input, in C order. They stay for the next run.
    pub fn input(&mut self) -> &mut [I] {
        // SAFETY: the memory stays where it is until the input is given in another way, which needs
        // the call, and the call is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.input.0, self.input.1) }
    }

    /// Runs the call, and returns the elements of the output, in C order.
    ///
    /// # Errors
    ///
    /// Those of [`Call::run`].
    pub fn run(&mut self) -> Result<&[O]> {
        if let Err(error) = self.call.run() {
            self.known = None;
            return Err(error);
        }
        if let Some((first, count)) = self.known {
            // SAFETY: the memory stays where it is until a shape changes or a run fails.
            return Ok(unsafe { std::slice::from_raw_parts(first, count) });
        }
        let elements = self.call.output(self.output)?.as_slice::<O>()?;
        if self.stays {
            self.known = Some((elements.as_ptr(), elements.len()));
        }
        Ok(elements)
    }
}
