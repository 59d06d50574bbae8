/**
 * How well a name fits what was typed into the palette: 0 is best, Infinity is not at all. All the
 * letters must come in order; the closer together and the nearer the front, the better.
 */
export function score(text: string, wanted: string): number {
  const low = text.toLowerCase();
  const whole = low.indexOf(wanted);
  if (whole >= 0) return whole === 0 ? 0 : low[whole - 1] === ' ' ? 1 : 2;
  let from = 0;
  let gaps = 3;
  for (const letter of wanted.replaceAll(' ', '')) {
    const found = low.indexOf(letter, from);
    if (found < 0) return Infinity;
    gaps += found - from;
    from = found + 1;
  }
  return gaps;
}
