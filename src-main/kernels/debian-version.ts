/**
 * Orders Debian package versions, as deb-version(7) has it, and picks the newest kernel source
 * out of what apt offers.
 */
export type SourceOffer = {
  /** `linux-source-7.2` */
  readonly package: string;
  /** `7.2.13-1` */
  readonly version: string;
};

const offersMax = 1000;

/** Negative when `a` is older, positive when it is newer, 0 when they are equal. */
export function compareVersions(a: string, b: string): number {
  const left = splitVersion(a);
  const right = splitVersion(b);
  return (
    left.epoch - right.epoch ||
    comparePart(left.upstream, right.upstream) ||
    comparePart(left.revision, right.revision)
  );
}

/** Reads `apt-cache madison`: `package | version | source`, one a line; newest first. */
export function parseOffers(madison: string): SourceOffer[] {
  const offers = madison.split('\n').slice(0, offersMax).flatMap((line): SourceOffer[] => {
    const [name = '', version = ''] = line.split('|').map((cell) => cell.trim());
    if (!/^linux-source-\d+(\.\d+)+$/.test(name) || !/^\d[\w.+~:-]*$/.test(version)) return [];
    return [{ package: name, version }];
  });
  return offers.sort((a, b) => compareVersions(b.version, a.version));
}

/** The newest version of one package that `apt-cache madison` names. */
export function newestVersion(madison: string, name: string): string | undefined {
  const versions = madison.split('\n').slice(0, offersMax).flatMap((line) => {
    const [cell, version = ''] = line.split('|').map((each) => each.trim());
    return cell === name && /^\d[\w.+~:-]*$/.test(version) ? [version] : [];
  });
  return versions.sort(compareVersions).at(-1);
}

type Parts = { epoch: number; upstream: string; revision: string };

function splitVersion(version: string): Parts {
  const colon = version.indexOf(':');
  const rest = version.slice(colon + 1);
  const dash = rest.lastIndexOf('-');
  return {
    epoch: colon < 0 ? 0 : Number(version.slice(0, colon)) || 0,
    upstream: dash < 0 ? rest : rest.slice(0, dash),
    revision: dash < 0 ? '' : rest.slice(dash + 1),
  };
}

/** Alternating runs of non-digits and digits; `~` sorts before the end, letters before signs. */
function comparePart(a: string, b: string): number {
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    while ((i < a.length && !isDigit(a[i])) || (j < b.length && !isDigit(b[j]))) {
      const order = rank(a[i]) - rank(b[j]);
      if (order !== 0) return order;
      i += 1;
      j += 1;
    }
    const left = /^\d*/.exec(a.slice(i))?.[0] ?? '';
    const right = /^\d*/.exec(b.slice(j))?.[0] ?? '';
    i += left.length;
    j += right.length;
    const order = Number(left) - Number(right);
    if (order !== 0) return order;
  }
  return 0;
}

function isDigit(char: string | undefined): boolean {
  return char !== undefined && char >= '0' && char <= '9';
}

function rank(char: string | undefined): number {
  if (char === '~') return -1;
  if (char === undefined || isDigit(char)) return 0;
  return /[A-Za-z]/.test(char) ? char.charCodeAt(0) : char.charCodeAt(0) + 256;
}
