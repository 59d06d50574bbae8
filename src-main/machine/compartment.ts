/**
 * The compartment of a machine, as arguments for bubblewrap: own user, mount, network, process,
 * IPC and host-name namespaces, no capabilities, `no_new_privs`, an empty environment, and of the
 * host's files nothing but what is named here.
 *
 * Paths inside are the same as outside, so that what the machine binds can be found from here; but
 * for the libraries of a kernel that has its own.
 */
import type { SharedLibrary } from './engine.ts';

export interface Compartment {
  /** Files and folders to be read; one that is a link is followed. */
  readonly readOnly: readonly string[];
  /** Files to be read under another path than the host's. */
  readonly libraries?: readonly SharedLibrary[];
  readonly writable: readonly string[];
  /** Where it starts, and its home. */
  readonly directory: string;
  readonly home: string;
  /** Besides its home. */
  readonly environment?: Readonly<Record<string, string>>;
  /** The descriptor on which bubblewrap tells the number of its first process. */
  readonly infoFd: number;
}

export function compartmentArguments(wanted: Compartment): string[] {
  return [
    '--unshare-all',
    '--unshare-user',
    '--cap-drop',
    'ALL',
    '--uid',
    '1000',
    '--gid',
    '1000',
    '--hostname',
    'vkernel',
    '--clearenv',
    ...['--setenv', 'HOME', wanted.home],
    ...['--setenv', 'TMPDIR', '/tmp'],
    ...Object.entries(wanted.environment ?? {}).flatMap((pair) => ['--setenv', ...pair]),
    ...['--proc', '/proc'],
    ...['--dev', '/dev'],
    ...['--tmpfs', '/tmp'],
    ...(wanted.libraries ?? []).flatMap(({ file, seenAs }) => ['--ro-bind', file, seenAs]),
    ...[...new Set(wanted.readOnly)].flatMap((path) => ['--ro-bind', path, path]),
    ...wanted.writable.flatMap((path) => ['--bind', path, path]),
    ...['--chdir', wanted.directory],
    ...['--info-fd', String(wanted.infoFd)],
    '--',
  ];
}
