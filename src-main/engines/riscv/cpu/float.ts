/**
 * IEEE 754 in W, exact in values and flags in every rounding mode. Every format (half, single,
 * double: fmt 0, 1, 2) is widened to double bits, which is exact; one unpack and one rounding
 * serve all. The usual case never gets that far: with round-to-nearest, NX already set and a
 * result that is a normal number, the host's own operation gives the value and no new flag.
 *
 * Inside, a number is sign, unbiased exponent and a 64-bit significand whose leading one stands
 * at bit 62; the lowest bit is sticky.
 */
export const floatSource = `
fn flag(h: i32, bits: i32) { h.fflags = h.fflags | bits; }

inline fn is_nan(a: i64): i32 { return (a & 0x7fffffffffffffffL) >u 0x7ff0000000000000L; }
inline fn is_inf(a: i64): i32 { return (a & 0x7fffffffffffffffL) == 0x7ff0000000000000L; }
inline fn is_zero(a: i64): i32 { return (a << 1L) == 0L; }
inline fn is_snan(a: i64): i32 { return is_nan(a) && (a & 0x8000000000000L) == 0L; }

fn nan_of(fmt: i32): i64 {
  return fmt == 2 ? 0x7ff8000000000000L : (fmt == 1 ? 0x7fc00000L : 0x7e00L);
}
fn inf_of(sign: i32, fmt: i32): i64 {
  return fmt == 2 ? 0x7ff0000000000000L | (zx(sign) << 63L)
    : (fmt == 1 ? 0x7f800000L | (zx(sign) << 31L) : 0x7c00L | (zx(sign) << 15L));
}
fn zero_of(sign: i32, fmt: i32): i64 {
  return zx(sign) << (fmt == 2 ? 63L : (fmt == 1 ? 31L : 15L));
}
fn nan_result(h: i32, a: i64, b: i64, fmt: i32): i64 {
  if (is_snan(a) || is_snan(b)) flag(h, 16);
  return nan_of(fmt);
}
fn invalid(h: i32, fmt: i32): i64 { flag(h, 16); return nan_of(fmt); }

fn jam(sig: i64, count: i32): i64 {
  if (count <= 0) return sig;
  if (count > 63) return zx(sig != 0L);
  return (sig >>> zx(count)) | zx((sig << zx(64 - count)) != 0L);
}

fn exponent_of(a: i64): i32 {
  let e = i32_of(a >>> 52L) & 0x7ff;
  if (e) return e - 1023;
  return -1022 - (i32_of(clz(a & 0xfffffffffffffL)) - 11);
}
fn significand_of(a: i64): i64 {
  let m = a & 0xfffffffffffffL;
  if ((a & 0x7ff0000000000000L) != 0L) return (m | 0x10000000000000L) << 10L;
  return m << (clz(m) - 1L);
}
inline fn sign_of(a: i64): i32 { return i32_of(a >>> 63L); }

// value = sig / 2^62 * 2^exp, sig's leading one at bit 62; rounds, packs, sets flags.
fn round_pack(h: i32, sign: i32, exp: i32, sig: i64, rm: i32, fmt: i32): i64 {
  let drop = fmt == 2 ? 10L : (fmt == 1 ? 39L : 52L);
  let emin = fmt == 2 ? -1022 : (fmt == 1 ? -126 : -14);
  let mask = (1L << drop) - 1L;
  let half = 1L << (drop - 1L);
  let inc = half;
  if (rm == 1) inc = 0L;
  else if (rm == 2) inc = sign ? mask : 0L;
  else if (rm == 3) inc = sign ? 0L : mask;
  let tiny = exp < emin;
  if (tiny) {
    if (exp == emin - 1) {
      let up = sig + inc;
      if (rm == 0 && (sig & mask) == half && ((sig >>> drop) & 1L) == 0L) up = sig;
      if (up < 0L) tiny = 0;
    }
    sig = jam(sig, emin - exp);
    exp = emin - 1;
  }
  let low = sig & mask;
  sig = (sig + inc) >>> drop;
  if (rm == 0 && low == half) sig = sig & -2L;
  if (low != 0L) flag(h, tiny ? 3 : 1);
  let p = 62L - drop;
  if (exp < emin) {
    if (fmt == 2) return sig | (zx(sign) << 63L);
    return sig | zero_of(sign, fmt);
  }
  if ((sig >>> (p + 1L)) != 0L) { sig = sig >>> 1L; exp = exp + 1; }
  if (exp > 1 - emin) {
    flag(h, 5);
    let up = rm == 0 || rm == 4 || (rm == 3 && !sign) || (rm == 2 && sign);
    return up ? inf_of(sign, fmt) : inf_of(sign, fmt) - 1L;
  }
  let biased = sx(exp - emin + 1);
  return ((biased << p) + (sig & ((1L << p) - 1L))) | zero_of(sign, fmt);
}

// Normalises any non-zero sig, then rounds.
fn norm_pack(h: i32, sign: i32, exp: i32, sig: i64, rm: i32, fmt: i32): i64 {
  let lead = i32_of(clz(sig));
  if (lead == 0) return round_pack(h, sign, exp + 1, jam(sig, 1), rm, fmt);
  return round_pack(h, sign, exp + 1 - lead, sig << zx(lead - 1), rm, fmt);
}

fn f_add(h: i32, a: i64, b: i64, rm: i32, fmt: i32): i64 {
  if (is_nan(a) || is_nan(b)) return nan_result(h, a, b, fmt);
  let sa = sign_of(a);
  let sb = sign_of(b);
  if (is_inf(a)) return is_inf(b) && sa != sb ? invalid(h, fmt) : inf_of(sa, fmt);
  if (is_inf(b)) return inf_of(sb, fmt);
  if (is_zero(a) && is_zero(b)) return zero_of(sa == sb ? sa : rm == 2, fmt);
  if (is_zero(a)) return round_pack(h, sb, exponent_of(b), significand_of(b), rm, fmt);
  if (is_zero(b)) return round_pack(h, sa, exponent_of(a), significand_of(a), rm, fmt);
  let ea = exponent_of(a);
  let eb = exponent_of(b);
  let ma = significand_of(a) >>> 1L;
  let mb = significand_of(b) >>> 1L;
  if (ea > eb) mb = jam(mb, ea - eb);
  else { ma = jam(ma, eb - ea); ea = eb; }
  if (sa == sb) return norm_pack(h, sa, ea + 1, ma + mb, rm, fmt);
  let d = ma - mb;
  if (d == 0L) return zero_of(rm == 2, fmt);
  if (d < 0L) { d = 0L - d; sa = sb; }
  return norm_pack(h, sa, ea + 1, d, rm, fmt);
}

export fn mulhu(a: i64, b: i64): i64 {
  let al = a & 0xffffffffL; let ah = a >>> 32L;
  let bl = b & 0xffffffffL; let bh = b >>> 32L;
  let m = ah * bl + ((al * bl) >>> 32L);
  let n = al * bh + (m & 0xffffffffL);
  return ah * bh + (m >>> 32L) + (n >>> 32L);
}

fn f_mul(h: i32, a: i64, b: i64, rm: i32, fmt: i32): i64 {
  if (is_nan(a) || is_nan(b)) return nan_result(h, a, b, fmt);
  let s = sign_of(a) ^ sign_of(b);
  if (is_inf(a) || is_inf(b)) return is_zero(a) || is_zero(b) ? invalid(h, fmt) : inf_of(s, fmt);
  if (is_zero(a) || is_zero(b)) return zero_of(s, fmt);
  let ma = significand_of(a) << 1L;
  let mb = significand_of(b) << 1L;
  let hi = mulhu(ma, mb) | zx(ma * mb != 0L);
  return norm_pack(h, s, exponent_of(a) + exponent_of(b), hi, rm, fmt);
}

// 53-bit operands, so host division of their significands is within half a unit; the sign of the
// residual says to which side.
fn f_div(h: i32, a: i64, b: i64, rm: i32, fmt: i32): i64 {
  if (is_nan(a) || is_nan(b)) return nan_result(h, a, b, fmt);
  let s = sign_of(a) ^ sign_of(b);
  if (is_inf(a)) return is_inf(b) ? invalid(h, fmt) : inf_of(s, fmt);
  if (is_inf(b)) return zero_of(s, fmt);
  if (is_zero(b)) {
    if (is_zero(a)) return invalid(h, fmt);
    flag(h, 8);
    return inf_of(s, fmt);
  }
  if (is_zero(a)) return zero_of(s, fmt);
  let ma = significand_of(a) >>> 10L;
  let mb = significand_of(b) >>> 10L;
  let exp = exponent_of(a) - exponent_of(b);
  let k = 52L;
  if (ma <u mb) { k = 53L; exp = exp - 1; }
  let bits = bits_f64(f64_u64(ma) / f64_u64(mb));
  let q = (bits & 0xfffffffffffffL) | 0x10000000000000L;
  if (k == 53L && (i32_of(bits >>> 52L) & 0x7ff) == 1023) q = q << 1L;
  let nh = ma >>> (64L - k);
  let nl = ma << k;
  let ph = mulhu(q, mb);
  let pl = q * mb;
  let sig = q << 10L;
  if (ph != nh || pl != nl) {
    let over = ph == nh ? pl >u nl : ph >u nh;
    sig = over ? sig - 1L : sig | 1L;
  }
  return norm_pack(h, s, exp, sig, rm, fmt);
}

fn f_sqrt(h: i32, a: i64, rm: i32, fmt: i32): i64 {
  if (is_nan(a)) return nan_result(h, a, a, fmt);
  if (is_zero(a)) return zero_of(sign_of(a), fmt);
  if (a < 0L) return invalid(h, fmt);
  if (is_inf(a)) return inf_of(0, fmt);
  let e = exponent_of(a);
  let m = significand_of(a) >>> 10L;
  let odd = e & 1;
  if (odd) { m = m << 1L; e = e - 1; }
  let bits = bits_f64(sqrt64(f64_u64(m) * f64_bits(0x3cb0000000000000L)));
  let r = (bits & 0xfffffffffffffL) | 0x10000000000000L;
  if ((i32_of(bits >>> 52L) & 0x7ff) != 1023) r = r << 1L;
  let nh = m >>> 12L;
  let nl = m << 52L;
  let ph = mulhu(r, r);
  let pl = r * r;
  let sig = r << 10L;
  if (ph != nh || pl != nl) {
    let over = ph == nh ? pl >u nl : ph >u nh;
    sig = over ? sig - 1L : sig | 1L;
  }
  return norm_pack(h, 0, e >> 1, sig, rm, fmt);
}

fn f_fma(h: i32, a: i64, b: i64, c: i64, rm: i32, fmt: i32): i64 {
  let s = sign_of(a) ^ sign_of(b);
  let sc = sign_of(c);
  if ((is_inf(a) && is_zero(b)) || (is_zero(a) && is_inf(b))) {
    flag(h, 16);
    return nan_of(fmt);
  }
  if (is_nan(a) || is_nan(b) || is_nan(c)) {
    if (is_snan(c)) flag(h, 16);
    return nan_result(h, a, b, fmt);
  }
  if (is_inf(a) || is_inf(b)) return is_inf(c) && sc != s ? invalid(h, fmt) : inf_of(s, fmt);
  if (is_inf(c)) return inf_of(sc, fmt);
  if (is_zero(a) || is_zero(b)) {
    if (is_zero(c)) return zero_of(s == sc ? s : rm == 2, fmt);
    return round_pack(h, sc, exponent_of(c), significand_of(c), rm, fmt);
  }
  let ma = significand_of(a);
  let mb = significand_of(b);
  let exp = exponent_of(a) + exponent_of(b);
  let ph = mulhu(ma, mb);
  let pl = ma * mb;
  if (!is_zero(c)) {
    let ch = significand_of(c) >>> 2L;
    let cl = significand_of(c) << 62L;
    let d = exp - exponent_of(c);
    if (d >= 0) {
      cl = jam128_low(ch, cl, d);
      ch = d > 63 ? 0L : ch >>> zx(d);
    } else {
      pl = jam128_low(ph, pl, -d);
      ph = -d > 63 ? 0L : ph >>> zx(-d);
      exp = exponent_of(c);
    }
    if (s == sc) {
      pl = pl + cl;
      ph = ph + ch + zx(pl <u cl);
    } else {
      let borrow = zx(pl <u cl);
      pl = pl - cl;
      ph = ph - ch - borrow;
      if ((ph | pl) == 0L) return zero_of(rm == 2, fmt);
      if (ph < 0L) {
        s = sc;
        pl = 0L - pl;
        ph = ~ph + zx(pl == 0L);
      }
    }
  }
  // value = (ph:pl) / 2^124 * 2^exp
  if (ph == 0L) {
    return norm_pack(h, s, exp - 62, pl, rm, fmt);
  }
  let lead = clz(ph);
  if (lead > 1L) {
    let n = lead - 1L;
    ph = (ph << n) | (pl >>> (64L - n));
    pl = pl << n;
    exp = exp - i32_of(n);
  }
  return norm_pack(h, s, exp + 2, ph | zx(pl != 0L), rm, fmt);
}

fn jam128_low(hi: i64, lo: i64, d: i32): i64 {
  if (d == 0) return lo;
  if (d < 64) {
    return (hi << zx(64 - d)) | (lo >>> zx(d)) | zx((lo << zx(64 - d)) != 0L);
  }
  if (d == 64) return hi | zx(lo != 0L);
  if (d < 128) return (hi >>> zx(d - 64)) | zx(((hi << zx(128 - d)) | lo) != 0L);
  return zx((hi | lo) != 0L);
}

// ---- narrower formats

fn unbox(bits: i64): i64 {
  return (bits >>> 32L) == 0xffffffffL ? bits & 0xffffffffL : 0x7fc00000L;
}
inline fn box(bits: i64): i64 { return bits | 0xffffffff00000000L; }
fn unbox16(bits: i64): i64 {
  return (bits >>> 16L) == 0xffffffffffffL ? bits & 0xffffL : 0x7e00L;
}

// single or half bits → double bits, exact; a signalling NaN stays one.
fn widen(a: i64): i64 {
  let sign = (a & 0x80000000L) << 32L;
  let e = (a >>> 23L) & 0xffL;
  let m = a & 0x7fffffL;
  if (e == 0xffL) return sign | 0x7ff0000000000000L | (m << 29L);
  if (e != 0L) return sign | ((e + 896L) << 52L) | (m << 29L);
  if (m == 0L) return sign;
  let n = clz(m) - 40L;
  return sign | ((897L - n) << 52L) | (((m << n) & 0x7fffffL) << 29L);
}
fn widen16(a: i64): i64 {
  let sign = (a & 0x8000L) << 48L;
  let e = (a >>> 10L) & 0x1fL;
  let m = a & 0x3ffL;
  if (e == 0x1fL) return sign | 0x7ff0000000000000L | (m << 42L);
  if (e != 0L) return sign | ((e + 1008L) << 52L) | (m << 42L);
  if (m == 0L) return sign;
  let n = clz(m) - 53L;
  return sign | ((1009L - n) << 52L) | (((m << n) & 0x3ffL) << 42L);
}
fn narrow(h: i32, a: i64, rm: i32, fmt: i32): i64 {
  if (is_nan(a)) return nan_result(h, a, a, fmt);
  if (is_inf(a)) return inf_of(sign_of(a), fmt);
  if (is_zero(a)) return zero_of(sign_of(a), fmt);
  return round_pack(h, sign_of(a), exponent_of(a), significand_of(a), rm, fmt);
}

// ---- integers

fn f_from_int(h: i32, v: i64, signed: i32, rm: i32, fmt: i32): i64 {
  if (v == 0L) return 0L;
  let s = signed && v < 0L;
  return norm_pack(h, s, 62, s ? 0L - v : v, rm, fmt);
}

// kind: 0 w, 1 wu, 2 l, 3 lu. The result is sign-extended for w and wu.
fn f_to_int(h: i32, a: i64, rm: i32, kind: i32): i64 {
  let high = kind == 0 ? 0x7fffffffL : (kind == 1 ? -1L : (kind == 2 ? 0x7fffffffffffffffL : -1L));
  let low = kind == 0 ? -2147483648L : (kind == 2 ? -9223372036854775808L : 0L);
  if (is_nan(a)) { flag(h, 16); return high; }
  let s = sign_of(a);
  if (is_zero(a)) return 0L;
  let e = is_inf(a) ? 2000 : exponent_of(a);
  if (e > 63) { flag(h, 16); return s ? low : high; }
  let sig = is_inf(a) ? 0L : significand_of(a);
  let whole = 0L;
  let rest = 0L;
  if (e == 63) whole = sig << 1L;
  else if (e == 62) whole = sig;
  else if (e >= 0) { whole = sig >>> zx(62 - e); rest = sig << zx(e + 2); }
  else if (e == -1) { rest = sig << 1L; }
  else rest = 1L;
  let up = 0;
  if (rm == 0) up = rest < 0L && ((rest << 1L) != 0L || (whole & 1L) != 0L);
  else if (rm == 2) up = s && rest != 0L;
  else if (rm == 3) up = !s && rest != 0L;
  else if (rm == 4) up = rest < 0L;
  if (up) whole = whole + 1L;
  let bad = up && whole == 0L;
  if (s) {
    let limit = kind == 0 ? 0x80000000L : (kind == 2 ? -9223372036854775808L : 0L);
    bad = bad || whole >u limit;
  } else {
    let limit = kind == 0 ? 0x7fffffffL
      : (kind == 1 ? 0xffffffffL : (kind == 2 ? 0x7fffffffffffffffL : -1L));
    bad = bad || whole >u limit;
  }
  if (bad) { flag(h, 16); return s ? low : high; }
  if (rest != 0L) flag(h, 1);
  let v = s ? 0L - whole : whole;
  return kind < 2 ? sx32(v) : v;
}

// ---- comparisons, on double bits. op: 0 le, 1 lt, 2 eq
fn f_cmp(h: i32, a: i64, b: i64, op: i32): i64 {
  if (is_nan(a) || is_nan(b)) {
    if (op != 2 || is_snan(a) || is_snan(b)) flag(h, 16);
    return 0L;
  }
  let x = f64_bits(a);
  let y = f64_bits(b);
  return zx(op == 0 ? x <= y : (op == 1 ? x < y : x == y));
}
// 1 when a is to be taken, 0 for b, -1 for the canonical NaN.
fn f_min_pick(h: i32, a: i64, b: i64, max: i32): i32 {
  if (is_snan(a) || is_snan(b)) flag(h, 16);
  if (is_nan(a)) return is_nan(b) ? -1 : 0;
  if (is_nan(b)) return 1;
  if (is_zero(a) && is_zero(b)) return max ? a >= 0L : a < 0L;
  let x = f64_bits(a);
  let y = f64_bits(b);
  return max ? x > y : x < y;
}
fn f_class(a: i64): i64 {
  let s = a < 0L;
  if (is_nan(a)) return is_snan(a) ? 0x100L : 0x200L;
  if (is_inf(a)) return s ? 1L : 0x80L;
  if (is_zero(a)) return s ? 8L : 16L;
  return s ? 2L : 0x40L;
}
fn f_class_fmt(a: i64, sub: i32): i64 {
  let c = f_class(a);
  if (sub) return c == 2L ? 4L : (c == 0x40L ? 0x20L : c);
  return c;
}

// ---- what the instructions call: fast case first

inline fn usual(h: i32, rm: i32): i32 { return rm == 0 && (h.fflags & 1) != 0; }
inline fn normal64(r: f64): i32 {
  return abs64(r) < f64_bits(0x7ff0000000000000L) && abs64(r) > f64_bits(0x0010000000000000L);
}
inline fn normal32(r: f32): i32 {
  return abs32(r) < f32_bits(0x7f800000) && abs32(r) > f32_bits(0x00800000);
}

export fn fadd_d(h: i32, a: i64, b: i64, rm: i32): i64 {
  let r = f64_bits(a) + f64_bits(b);
  if (usual(h, rm) && normal64(r)) return bits_f64(r);
  return f_add(h, a, b, rm, 2);
}
export fn fsub_d(h: i32, a: i64, b: i64, rm: i32): i64 {
  let r = f64_bits(a) - f64_bits(b);
  if (usual(h, rm) && normal64(r)) return bits_f64(r);
  return f_add(h, a, is_nan(b) ? b : b ^ -9223372036854775808L, rm, 2);
}
export fn fmul_d(h: i32, a: i64, b: i64, rm: i32): i64 {
  let r = f64_bits(a) * f64_bits(b);
  if (usual(h, rm) && normal64(r)) return bits_f64(r);
  return f_mul(h, a, b, rm, 2);
}
export fn fdiv_d(h: i32, a: i64, b: i64, rm: i32): i64 {
  let r = f64_bits(a) / f64_bits(b);
  if (usual(h, rm) && normal64(r) && !is_inf(b)) return bits_f64(r);
  return f_div(h, a, b, rm, 2);
}
export fn fsqrt_d(h: i32, a: i64, rm: i32): i64 {
  let r = sqrt64(f64_bits(a));
  if (usual(h, rm) && normal64(r)) return bits_f64(r);
  return f_sqrt(h, a, rm, 2);
}
fn widen_s(a: i64): i64 { return widen(unbox(a)); }
inline fn as32(a: i64): f32 { return f32_bits(i32_of(a)); }
inline fn boxed(a: i64): i32 { return (a >>> 32L) == 0xffffffffL; }
export fn fadd_s(h: i32, a: i64, b: i64, rm: i32): i64 {
  let r = as32(a) + as32(b);
  if (usual(h, rm) && boxed(a & b) && normal32(r)) return box(zx(bits_f32(r)));
  return box(f_add(h, widen_s(a), widen_s(b), rm, 1));
}
export fn fsub_s(h: i32, a: i64, b: i64, rm: i32): i64 {
  let r = as32(a) - as32(b);
  if (usual(h, rm) && boxed(a & b) && normal32(r)) return box(zx(bits_f32(r)));
  let y = widen_s(b);
  return box(f_add(h, widen_s(a), is_nan(y) ? y : y ^ -9223372036854775808L, rm, 1));
}
export fn fmul_s(h: i32, a: i64, b: i64, rm: i32): i64 {
  let r = as32(a) * as32(b);
  if (usual(h, rm) && boxed(a & b) && normal32(r)) return box(zx(bits_f32(r)));
  return box(f_mul(h, widen_s(a), widen_s(b), rm, 1));
}
export fn fdiv_s(h: i32, a: i64, b: i64, rm: i32): i64 {
  let r = as32(a) / as32(b);
  if (usual(h, rm) && boxed(a & b) && normal32(r)) return box(zx(bits_f32(r)));
  return box(f_div(h, widen_s(a), widen_s(b), rm, 1));
}
export fn fsqrt_s(h: i32, a: i64, rm: i32): i64 {
  let r = sqrt32(as32(a));
  if (usual(h, rm) && boxed(a) && normal32(r)) return box(zx(bits_f32(r)));
  return box(f_sqrt(h, widen_s(a), rm, 1));
}
export fn fmadd_d(h: i32, a: i64, b: i64, c: i64, rm: i32): i64 { return f_fma(h, a, b, c, rm, 2); }
// A single product is exact in double; one double addition then decides unless it is a near tie.
export fn fmadd_s(h: i32, a: i64, b: i64, c: i64, rm: i32): i64 {
  if (usual(h, rm) && boxed(a & b & c)) {
    let r = promote(as32(a)) * promote(as32(b)) + promote(as32(c));
    let low = bits_f64(r) & 0x1fffffffL;
    if (low != 0x10000000L && low != 0L) {
      let n = demote(r);
      if (normal32(n)) return box(zx(bits_f32(n)));
    }
  }
  return box(f_fma(h, widen_s(a), widen_s(b), widen_s(c), rm, 1));
}
export fn fmadd_op_d(h: i32, a: i64, b: i64, c: i64, rm: i32, neg: i32): i64 {
  let sign = -9223372036854775808L;
  if ((neg & 1) != 0) c = c ^ sign;
  if ((neg & 2) != 0) a = a ^ sign;
  return fmadd_d(h, a, b, c, rm);
}
export fn fmadd_op_s(h: i32, a: i64, b: i64, c: i64, rm: i32, neg: i32): i64 {
  let x = box(unbox(a));
  let z = box(unbox(c));
  if ((neg & 1) != 0) z = z ^ 0x80000000L;
  if ((neg & 2) != 0) x = x ^ 0x80000000L;
  return fmadd_s(h, x, b, z, rm);
}
export fn fsgnj_s(a: i64, b: i64, op: i32): i64 {
  let x = unbox(a);
  let s = unbox(b) & 0x80000000L;
  if (op == 1) s = s ^ 0x80000000L;
  if (op == 2) s = s ^ (x & 0x80000000L);
  return box((x & 0x7fffffffL) | s);
}
export fn fminmax_d(h: i32, a: i64, b: i64, max: i32): i64 {
  let p = f_min_pick(h, a, b, max);
  return p < 0 ? nan_of(2) : (p ? a : b);
}
export fn fminmax_s(h: i32, a: i64, b: i64, max: i32): i64 {
  let p = f_min_pick(h, widen_s(a), widen_s(b), max);
  return box(p < 0 ? nan_of(1) : unbox(p ? a : b));
}
export fn fcmp_d(h: i32, a: i64, b: i64, op: i32): i64 { return f_cmp(h, a, b, op); }
export fn fcmp_s(h: i32, a: i64, b: i64, op: i32): i64 {
  return f_cmp(h, widen_s(a), widen_s(b), op);
}
export fn fclass_d(a: i64): i64 {
  return f_class_fmt(a, (a & 0x7ff0000000000000L) == 0L && !is_zero(a));
}
export fn fclass_s(a: i64): i64 {
  let v = unbox(a);
  return f_class_fmt(widen(v), (v & 0x7f800000L) == 0L && (v & 0x7fffffL) != 0L);
}
export fn fcvt_int_d(h: i32, a: i64, rm: i32, kind: i32): i64 { return f_to_int(h, a, rm, kind); }
export fn fcvt_int_s(h: i32, a: i64, rm: i32, kind: i32): i64 {
  return f_to_int(h, widen_s(a), rm, kind);
}
inline fn int_operand(v: i64, kind: i32): i64 {
  return kind == 0 ? sx32(v) : (kind == 1 ? v & 0xffffffffL : v);
}
export fn fcvt_d_int(h: i32, v: i64, rm: i32, kind: i32): i64 {
  return f_from_int(h, int_operand(v, kind), (kind & 1) == 0, rm, 2);
}
export fn fcvt_s_int(h: i32, v: i64, rm: i32, kind: i32): i64 {
  return box(f_from_int(h, int_operand(v, kind), (kind & 1) == 0, rm, 1));
}
export fn fcvt_s_d(h: i32, a: i64, rm: i32): i64 { return box(narrow(h, a, rm, 1)); }
export fn fcvt_d_s(h: i32, a: i64): i64 {
  let w = widen_s(a);
  return is_nan(w) ? nan_result(h, w, w, 2) : w;
}
export fn fcvt_s_h(h: i32, a: i64): i64 { return box(narrow(h, widen16(unbox16(a)), 0, 1)); }
export fn fcvt_d_h(h: i32, a: i64): i64 { return narrow(h, widen16(unbox16(a)), 0, 2); }
export fn fcvt_h_s(h: i32, a: i64, rm: i32): i64 {
  return narrow(h, widen_s(a), rm, 0) | -65536L;
}
export fn fcvt_h_d(h: i32, a: i64, rm: i32): i64 { return narrow(h, a, rm, 0) | -65536L; }

// Says whether the FPU is on and marks it used.
export fn fp_on(h: i32): i32 {
  if (fs_off(h)) return 0;
  fs_dirty(h);
  return 1;
}
// The same for translated code, which raises the illegal instruction itself.
export fn fp_gate(h: i32, raw: i32): i32 {
  if (fp_on(h)) return 1;
  raise(h, 2, zx(raw));
  return 0;
}
export fn fp_gate_rm(h: i32, raw: i32): i32 {
  if (h.frm < 5) return fp_gate(h, raw);
  raise(h, 2, zx(raw));
  return 0;
}
// The rounding mode of an instruction; 7 when it names none.
fn fp_rm(h: i32, insn: i32): i32 {
  let rm = (insn >>> 12) & 7;
  if (rm == 7) rm = h.frm;
  return rm > 4 ? 7 : rm;
}
`;
