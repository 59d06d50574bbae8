/**
 * Our edits to the kernel source: small, each with its reason, each with a test in test/guest
 * that fails without it. An edit names a file, the shortest anchor of that file that occurs
 * exactly once, and what becomes of it; it carries nothing else of the file.
 *
 * Use: `applyEdits(fileText, editsOf(file))`. Applying fails loudly when an anchor is not found
 * exactly once, because then the source has changed and a person has to look.
 */
import { Refusal } from '../base/refusal.ts';
import { quickEdits } from './quick-edits.ts';

export type KernelEdit = {
  /** Stands in the kernel's own configuration, so that a kernel can tell what it carries. */
  readonly feature: 'flush' | 'nesting' | 'frames' | 'input' | 'quick';
  /** Relative to the root of the source tree. */
  readonly file: string;
  /** Must occur exactly once. */
  readonly find: string;
  /** What stands there instead, or what is put on the lines after the anchor's line. */
  readonly change: { readonly replace: string } | { readonly insertAfterLine: readonly string[] };
  readonly why: string;
};

const traceWhy =
  'A kernel like this one can trace its programs only on a host that stops them before a system ' +
  'call and leaves the call out. As on x86, and by the same two requests of ptrace(2).';

const tracedInside: readonly KernelEdit[] = [
  {
    feature: 'nesting',
    file: 'arch/um/include/asm/thread_info.h',
    find: '#define TIF_SINGLESTEP',
    change: { replace: '#define TIF_SYSCALL_EMU\t\t12\n#define TIF_SINGLESTEP' },
    why: traceWhy,
  },
  {
    feature: 'nesting',
    file: 'arch/um/include/asm/ptrace-generic.h',
    find: '#define PTRACE_OLDSETOPTIONS 21',
    change: {
      insertAfterLine: ['#define PTRACE_SYSEMU 31', '#define PTRACE_SYSEMU_SINGLESTEP 32'],
    },
    why: traceWhy,
  },
  {
    feature: 'nesting',
    file: 'arch/um/kernel/ptrace.c',
    find: 'void __user *vp = p;',
    change: {
      insertAfterLine: [
        '',
        '\tif (request == PTRACE_SYSEMU || request == PTRACE_SYSEMU_SINGLESTEP)',
        '\t\treturn ptrace_request(child, request, addr, data);',
      ],
    },
    why: traceWhy,
  },
  {
    feature: 'nesting',
    file: 'arch/um/kernel/ptrace.c',
    find: 'trace_sys_enter(regs, ',
    change: {
      insertAfterLine: [
        '',
        '\tif (test_thread_flag(TIF_SYSCALL_EMU)) {',
        '\t\tptrace_report_syscall(PTRACE_EVENTMSG_SYSCALL_ENTRY);',
        '\t\treturn 1;',
        '\t}',
      ],
    },
    why: traceWhy,
  },
  {
    feature: 'nesting',
    file: 'arch/um/kernel/ptrace.c',
    find: 'if (test_thread_flag(TIF_SINGLESTEP))',
    change: {
      replace: 'if (test_thread_flag(TIF_SINGLESTEP) && !test_thread_flag(TIF_SYSCALL_EMU))',
    },
    why: 'A call that was left out has been reported; a step after it would be a second report.',
  },
  {
    feature: 'nesting',
    file: 'arch/um/kernel/trap.c',
    find: 'printk(KERN_ERR "Attempted',
    change: { replace: 'if (code != SI_KERNEL)\n\t\t\tprintk(KERN_ERR "Attempted' },
    why:
      'The breakpoint by which a process of an inner kernel stops is such a signal. It is passed ' +
      'on as on any other machine, and need not be told of each time.',
  },
];

export const kernelEdits: readonly KernelEdit[] = [
  {
    feature: 'flush',
    file: 'arch/um/drivers/ubd_kern.c',
    find: 'io_count++;',
    change: {
      insertAfterLine: ['\t\t\tif (req_op(req->req) == REQ_OP_FLUSH)', '\t\t\t\tdo_io(req, NULL);'],
    },
    why:
      'A flush request has no data and so no descriptors; the loop over descriptors that follows ' +
      'never runs for it and the request is answered as done without anything being done.',
  },
  {
    feature: 'flush',
    file: 'arch/um/drivers/ubd_kern.c',
    find: 'os_sync_file(req->fds[0])',
    change: { replace: 'os_sync_file(req->fds[1])' },
    why:
      'With a copy-on-write file the first descriptor is the backing file, which is never ' +
      'written; data and bitmap both go to the second. Without one both are the same file. The ' +
      'I/O thread is one and takes requests in order, so data and bitmap of every write that was ' +
      'answered are in the file before it is synced.',
  },
  {
    feature: 'nesting',
    file: 'kernel/seccomp.c',
    find: 'KSTK_EIP(task)',
    change: { replace: 'instruction_pointer(regs)' },
    why:
      'A filter must see where the calling program stands. On User Mode Linux KSTK_EIP is where ' +
      'the kernel last switched away from the task, so the filter with which an inner kernel ' +
      'tells its own system calls from those of its programs never matches. The registers at ' +
      'hand hold the right value on every architecture.',
  },
  ...tracedInside,
  {
    feature: 'frames',
    file: 'arch/x86/um/signal.c',
    find: '#include <asm/sigframe.h>',
    change: {
      insertAfterLine: [
        '',
        '/* Where the tiles of AMX begin in an XSAVE area. */',
        '#define XSTATE_TILES_AT 2816',
        '#define host_fp_size min_t(unsigned long, host_fp_size, XSTATE_TILES_AT)',
      ],
    },
    why:
      'On a host with AMX, what ptrace(2) tells of a program’s registers holds 8 KiB of tiles, ' +
      'which no guest program can have asked for. With them the frame of a signal is larger than ' +
      'any signal stack of the usual size, and is written beside it.',
  },
  ...['ssl.c', 'stdio_console.c'].flatMap((name) =>
    ['line_throttle', 'line_unthrottle'].map((operation): KernelEdit => ({
      feature: 'input',
      file: `arch/um/drivers/${name}`,
      find: operation,
      change: { replace: 'NULL' },
      why:
        'A program that reads slower than input comes throttles its line, which takes the line’s ' +
        'descriptor out of what the kernel waits for, and nothing puts it back: the line is deaf ' +
        'from then on. Without the two the line reads on until its buffer is full and tries ' +
        'again each tick until there is room, and the host’s pipe holds what is left.',
    })),
  ),
  ...quickEdits,
];

export const kernelFeatures: readonly KernelEdit['feature'][] = [
  'flush',
  'nesting',
  'frames',
  'input',
  'quick',
];

/** Which files are edited, each once, in the order of the table. */
export function editedFiles(edits: readonly KernelEdit[] = kernelEdits): string[] {
  return [...new Set(edits.map((edit) => edit.file))];
}

export function applyEdit(text: string, edit: KernelEdit): string {
  const at = text.indexOf(edit.find);
  const count = at < 0 ? 0 : text.indexOf(edit.find, at + 1) < 0 ? 1 : 2;
  if (edit.find === '' || count !== 1) {
    throw new Refusal(
      'unsupported',
      `The kernel source does not fit the recipe: "${edit.find}" stands ` +
        `${count === 0 ? 'nowhere' : 'more than once'} in ${edit.file}.`,
    );
  }
  if ('replace' in edit.change) {
    return text.slice(0, at) + edit.change.replace + text.slice(at + edit.find.length);
  }
  const lineEnd = text.indexOf('\n', at);
  const cut = lineEnd < 0 ? text.length : lineEnd;
  return `${text.slice(0, cut)}\n${edit.change.insertAfterLine.join('\n')}${text.slice(cut)}`;
}

/** All edits of one file; the edits are independent, so their order does not matter. */
export function applyEdits(file: string, text: string, edits: readonly KernelEdit[]): string {
  return edits.filter((edit) => edit.file === file).reduce(applyEdit, text);
}
