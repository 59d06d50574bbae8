/**
 * Reads a machine's own apt sources, in both of their forms, and derives from them the sources
 * that may hold a newer kernel source package: the same mirrors and keys, other suites.
 *
 * Use: `parseSources(files)` → `kernelSuites(entries, release)` → `writeSources(…)`. No mirror is
 * named here; a machine whose sources name none gets an empty list. See sources.list(5).
 */
export type AptSource = {
  readonly uris: readonly string[];
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /** Verbatim: a path, fingerprints or a whole key block. */
  readonly signedBy?: string;
  readonly trusted?: string;
};

export type SourceFile = { readonly name: string; readonly text: string };

/** What /etc/os-release says. */
export type Release = { readonly id: string; readonly idLike: string; readonly codename: string };

const filesMax = 200;
const linesMax = 20_000;
const mirrorsMax = 4;

/**
 * Suites of Debian that carry newer kernel sources than a stable release does. The newest version
 * is chosen by version, so the order does not matter and a suite that a mirror lacks is no harm.
 */
const debianSuites = ['bookworm-backports', 'trixie-backports', 'forky-backports', 'sid'];
const debianNames = ['stable', 'testing', 'unstable', 'sid', 'oldstable'];

export function parseSources(files: readonly SourceFile[]): AptSource[] {
  return files.slice(0, filesMax).flatMap((file) => {
    const lines = file.text.split('\n').slice(0, linesMax);
    return file.name.endsWith('.sources') ? parseStanzas(lines) : parseOneLine(lines);
  });
}

/** The entries of the release's own main archive, widened to the suites worth asking. */
export function kernelSuites(entries: readonly AptSource[], release: Release): AptSource[] {
  return widened(entries, release, debianSuites);
}

/**
 * The same for packages of riscv64, which Debian has since trixie; Ubuntu keeps them on a mirror
 * of their own, which its usual configuration does not name.
 */
export function riscvSuites(entries: readonly AptSource[], release: Release): AptSource[] {
  return widened(entries, release, ['trixie']);
}

function widened(
  entries: readonly AptSource[],
  release: Release,
  moreOfDebian: readonly string[],
): AptSource[] {
  const debian = release.id === 'debian' || /(^| )debian( |$)/.test(release.idLike);
  const ubuntu = release.id === 'ubuntu' || /(^| )ubuntu( |$)/.test(release.idLike);
  const own = entries.filter((entry) => isMainArchive(entry, release, debian && !ubuntu));
  const seen = new Set<string>();
  const sources: AptSource[] = [];
  for (const entry of own) {
    const uris = entry.uris.filter((uri) => !uri.startsWith('cdrom:') && !seen.has(uri));
    uris.forEach((uri) => seen.add(uri));
    if (uris.length === 0 || sources.length >= mirrorsMax) continue;
    const more = debian && !ubuntu ? moreOfDebian : [`${release.codename}-updates`];
    const suites = [...new Set([...entry.suites.filter((s) => !s.endsWith('/')), ...more])];
    sources.push({ ...entry, uris, suites, components: ['main'] });
  }
  return sources;
}

/** In the deb822 form, one stanza a suite: a suite that fails must not take another with it. */
export function writeSources(sources: readonly AptSource[]): string {
  const stanzas = sources.flatMap((source) =>
    source.suites.map((suite) =>
      [
        'Types: deb',
        `URIs: ${source.uris.join(' ')}`,
        `Suites: ${suite}`,
        `Components: ${source.components.join(' ')}`,
        ...(source.signedBy === undefined ? [] : [`Signed-By: ${source.signedBy}`]),
        ...(source.trusted === undefined ? [] : [`Trusted: ${source.trusted}`]),
      ].join('\n'),
    ),
  );
  return `${stanzas.join('\n\n')}\n`;
}

export function parseRelease(osRelease: string): Release {
  const value = (key: string): string => {
    const line = osRelease.split('\n').find((each) => each.startsWith(`${key}=`)) ?? '';
    return line
      .slice(key.length + 1)
      .trim()
      .replace(/^(["'])(.*)\1$/, '$2');
  };
  return {
    id: value('ID'),
    idLike: value('ID_LIKE'),
    codename: value('UBUNTU_CODENAME') || value('VERSION_CODENAME') || 'sid',
  };
}

function isMainArchive(entry: AptSource, release: Release, debian: boolean): boolean {
  if (!entry.components.includes('main')) return false;
  return entry.suites.some(
    (suite) => suite === release.codename || (debian && debianNames.includes(suite)),
  );
}

/** `deb [options] uri suite component…`, one a line. */
function parseOneLine(lines: readonly string[]): AptSource[] {
  return lines.flatMap((line) => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line);
    const [, options = '', uri, suite, components = ''] = match ?? [];
    if (uri === undefined || suite === undefined) return [];
    const fields = new Map(
      words(options).map((word): [string, string] => {
        const equals = word.indexOf('=');
        return equals < 0 ? [word, ''] : [word.slice(0, equals), word.slice(equals + 1)];
      }),
    );
    return [
      entry([uri], [suite], words(components), fields.get('signed-by'), fields.get('trusted')),
    ];
  });
}

/** Stanzas of `Field: value`, continued by a leading blank, parted by empty lines. */
function parseStanzas(lines: readonly string[]): AptSource[] {
  const stanzas: Map<string, string>[] = [];
  let stanza = new Map<string, string>();
  let field = '';
  for (const line of [...lines, '']) {
    if (line.startsWith('#')) continue;
    if (line.trim() === '') {
      if (stanza.size > 0) stanzas.push(stanza);
      stanza = new Map();
    } else if (/^\s/.test(line)) {
      stanza.set(field, `${stanza.get(field) ?? ''}\n${line}`);
    } else {
      field = line.slice(0, line.indexOf(':') >>> 0).toLowerCase();
      stanza.set(field, line.slice(field.length + 1).trim());
    }
  }
  return stanzas.flatMap((each) => {
    if (!words(each.get('types')).includes('deb')) return [];
    if (/^(no|false|0|off|without|disable)$/i.test(each.get('enabled') ?? '')) return [];
    return [
      entry(
        words(each.get('uris')),
        words(each.get('suites')),
        words(each.get('components')),
        each.get('signed-by'),
        each.get('trusted'),
      ),
    ];
  });
}

function entry(
  uris: string[],
  suites: string[],
  components: string[],
  signedBy?: string,
  trusted?: string,
): AptSource {
  return {
    uris,
    suites,
    components,
    ...(signedBy === undefined ? {} : { signedBy }),
    ...(trusted === undefined ? {} : { trusted }),
  };
}

function words(text = ''): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}
