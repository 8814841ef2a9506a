//! Tensors, and views of the memory of a call.

use std::marker::PhantomData;

use sidecall_sys as sys;

use crate::{Code, Dtype, Error, Result};

mod sealed {
    pub trait Sealed {}
}

/// The types of elements that are read and written as slices. Others are raw bytes.
pub trait Element: sealed::Sealed + Copy + 'static {
    /// The number of the type.
    const DTYPE: Dtype;
}

macro_rules! elements {
    ($($kind:ty = $constant:ident,)*) => {
        $(impl sealed::Sealed for $kind {}
        impl Element for $kind {
            const DTYPE: Dtype = Dtype(sys::$constant);
        })*
    };
}

// No bool: a byte that a program wrote elsewhere need not be 0 or 1.
elements! {
    f32 = SIDECALL_DTYPE_FLOAT32,
    f64 = SIDECALL_DTYPE_FLOAT64,
    i8 = SIDECALL_DTYPE_INT8,
    i16 = SIDECALL_DTYPE_INT16,
    i32 = SIDECALL_DTYPE_INT32,
    i64 = SIDECALL_DTYPE_INT64,
    u8 = SIDECALL_DTYPE_UINT8,
    u16 = SIDECALL_DTYPE_UINT16,
    u32 = SIDECALL_DTYPE_UINT32,
    u64 = SIDECALL_DTYPE_UINT64,
}

/// A whole tensor of the caller, for [`Call::copy_input`](crate::Call::copy_input). Its elements
/// are in C order: the last dimension varies fastest.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a> {
    dtype: Dtype,
    dims: &'a [i64],
    bytes: &'a [u8],
    offsets: Option<&'a [i64]>,
}

impl<'a> Tensor<'a> {
    /// A tensor of numbers.
    pub fn new<T: Element>(values: &'a [T], dims: &'a [i64]) -> Self {
        // SAFETY: every byte of a number may be read as u8.
        let bytes = unsafe {
            std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), std::mem::size_of_val(values))
        };
        Self::raw(T::DTYPE, bytes, dims)
    }

    /// A tensor of any type, from its bytes.
    pub fn raw(dtype: Dtype, bytes: &'a [u8], dims: &'a [i64]) -> Self {
        Self {
            dtype,
            dims,
            bytes,
            offsets: None,
        }
    }

    /// A tensor of strings, which lie back to back in `text`. `offsets` has one entry more than
    /// there are strings: string k is `text[offsets[k]..offsets[k + 1]]`.
    pub fn strings(text: &'a str, offsets: &'a [i64], dims: &'a [i64]) -> Self {
        Self {
            dtype: Dtype::STRING,
            dims,
            bytes: text.as_bytes(),
            offsets: Some(offsets),
        }
    }

    /// The struct of the C interface. The library reads as many offsets as the shape has elements,
    /// so their number is checked here.
    pub(crate) fn view(&self) -> Result<sys::sidecall_view> {
        let count = self
            .dims
            .iter()
            .try_fold(1_i64, |count, &dim| count.checked_mul(dim.max(0)));
        if let Some(offsets) = self.offsets {
            let strings = count.and_then(|count| usize::try_from(count).ok());
            if strings.is_none() || strings != offsets.len().checked_sub(1) {
                return Err(Error::usage(
                    "offsets: expected one more than there are strings in the shape",
                ));
            }
        }
        Ok(sys::sidecall_view {
            struct_size: std::mem::size_of::<sys::sidecall_view>() as u32,
            dtype: self.dtype.0,
            rank: i32::try_from(self.dims.len()).unwrap_or(i32::MAX),
            flags: 0,
            dims: self.dims.as_ptr(),
            data: self.bytes.as_ptr().cast_mut().cast(),
            data_bytes: self.bytes.len() as u64,
            offsets: self.offsets.map_or(std::ptr::null(), <[i64]>::as_ptr),
        })
    }
}

/// The memory of an output, or of an input that is only read.
#[derive(Debug, Clone, Copy)]
pub struct View<'c> {
    view: sys::sidecall_view,
    owner: PhantomData<&'c ()>,
}

impl<'c> View<'c> {
    /// # Safety
    ///
    /// The memory behind `view` stays valid and unchanged for `'c`.
    pub(crate) unsafe fn new(view: sys::sidecall_view) -> Self {
        Self {
            view,
            owner: PhantomData,
        }
    }

    /// The type of the elements.
    pub fn dtype(&self) -> Dtype {
        Dtype(self.view.dtype)
    }

    /// The shape; `None` for an output whose shape only a run can tell.
    pub fn dims(&self) -> Option<&'c [i64]> {
        let rank = usize::try_from(self.view.rank).ok()?;
        if rank == 0 {
            return Some(&[]);
        }
        // SAFETY: the view has `rank` dimensions, which live as long as its memory.
        Some(unsafe { std::slice::from_raw_parts(self.view.dims, rank) })
    }

    /// The elements as bytes; empty while there are none.
    pub fn bytes(&self) -> &'c [u8] {
        if self.view.data.is_null() || self.view.data_bytes == 0 {
            return &[];
        }
        // SAFETY: the memory has so many bytes; see new().
        unsafe { std::slice::from_raw_parts(self.view.data.cast(), self.view.data_bytes as usize) }
    }

    pub(crate) fn require_type<T: Element>(&self) -> Result<()> {
        require_type::<T>(self.dtype())
    }

    /// The number of elements; 0 for an output whose shape only a run can tell.
    fn count(&self) -> usize {
        let sizes = self.dims().map(|dims| dims.iter().product::<i64>());
        sizes
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(0)
    }

    /// The elements as numbers.
    ///
    /// # Errors
    ///
    /// [`Code::DtypeMismatch`](crate::Code::DtypeMismatch) if the tensor has another type,
    /// [`Code::NotRun`](crate::Code::NotRun) for an output before a run.
    pub fn as_slice<T: Element>(&self) -> Result<&'c [T]> {
        require_type::<T>(self.dtype())?;
        if self.count() > 0 && self.view.data.is_null() {
            return Err(Error::not_run());
        }
        let bytes = self.bytes();
        if bytes.is_empty() {
            return Ok(&[]);
        }
        let count = bytes.len() / std::mem::size_of::<T>();
        // SAFETY: the memory of a tensor is aligned to its type and holds whole elements.
        Ok(unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), count) })
    }

    /// Element `index` of a string tensor.
    ///
    /// # Errors
    ///
    /// [`Code::DtypeMismatch`](crate::Code::DtypeMismatch) if the tensor has no strings,
    /// [`Code::NotRun`](crate::Code::NotRun) for an output before a run,
    /// [`Code::InvalidArgument`](crate::Code::InvalidArgument) if the index is out of range,
    /// [`Code::InvalidString`](crate::Code::InvalidString) if the string is not UTF-8.
    pub fn str_at(&self, index: usize) -> Result<&'c str> {
        if self.dtype() != Dtype::STRING {
            return Err(Error::wrong_type("view", "string", self.dtype().name()));
        }
        if self.view.offsets.is_null() {
            return Err(Error::not_run());
        }
        let count = self.count();
        if index >= count {
            return Err(Error::usage(&format!(
                "index: expected one below {count}, got {index}"
            )));
        }
        // SAFETY: a string tensor has count + 1 offsets into its bytes.
        let (begin, end) = unsafe {
            (
                *self.view.offsets.add(index),
                *self.view.offsets.add(index + 1),
            )
        };
        self.bytes()
            .get(begin as usize..end as usize)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .ok_or_else(|| {
                let message = "view: the string is not UTF-8: read its bytes instead";
                Error::with_code(Code::InvalidString, message)
            })
    }
}

/// The memory of an input, to be written.
#[derive(Debug)]
pub struct ViewMut<'c> {
    view: View<'c>,
    owner: PhantomData<&'c mut ()>,
}

impl ViewMut<'_> {
    /// # Safety
    ///
    /// The memory behind `view` stays valid, and belongs to this view alone, for `'c`.
    pub(crate) unsafe fn new(view: sys::sidecall_view) -> Self {
        Self {
            // SAFETY: the caller guarantees it.
            view: unsafe { View::new(view) },
            owner: PhantomData,
        }
    }

    /// The same memory, to be read.
    pub fn as_view(&self) -> View<'_> {
        self.view
    }

    /// The elements as numbers, to be written.
    ///
    /// # Errors
    ///
    /// [`Code::DtypeMismatch`](crate::Code::DtypeMismatch) if the tensor has another type.
    pub fn as_mut_slice<T: Element>(&mut self) -> Result<&mut [T]> {
        let read = self.view.as_slice::<T>()?;
        // SAFETY: this view alone has the memory, and it is borrowed mutably.
        Ok(unsafe { std::slice::from_raw_parts_mut(read.as_ptr().cast_mut(), read.len()) })
    }
}

fn require_type<T: Element>(dtype: Dtype) -> Result<()> {
    if dtype == T::DTYPE {
        return Ok(());
    }
    Err(Error::wrong_type("view", T::DTYPE.name(), dtype.name()))
}
