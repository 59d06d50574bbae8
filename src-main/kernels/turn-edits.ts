/**
 * Our edits by which a kernel like ours, below, lets an inner kernel and the processes of its
 * programs hand over to each other in one system call each. They wake one another and wait by a
 * word of shared memory; below, each call of theirs is a round trip of its own.
 */
import type { KernelEdit } from './edits.ts';

const stub = 'arch/um/kernel/skas/stub.c';
const stubData = 'arch/um/include/shared/skas/stub-data.h';
const userspace = 'arch/um/os-Linux/skas/process.c';
const syscalls = 'arch/um/kernel/skas/syscall.c';

const stubTurn: readonly string[] = [
  '',
  'static long stub_call(struct stub_syscall *sc)',
  '{',
  '\tunsigned long at;',
  '',
  '\tswitch (sc->syscall) {',
  '\tcase STUB_SYSCALL_MMAP:',
  '\t\tat = ksys_mmap_pgoff(sc->mem.addr, sc->mem.length, sc->mem.prot,',
  '\t\t\t\t     MAP_SHARED | MAP_FIXED | MAP_POPULATE,',
  '\t\t\t\t     sc->mem.fd, sc->mem.offset >> PAGE_SHIFT);',
  '\t\treturn at == sc->mem.addr ? 0 : at;',
  '\tcase STUB_SYSCALL_MUNMAP:',
  '\t\t/* Page tables made anew would not know what was unmapped. */',
  '\t\treturn vm_munmap(sc->mem.addr, sc->mem.length) ?:',
  '\t\t       um_tlb_sync(current->mm);',
  '\tdefault:',
  '\t\treturn -EOPNOTSUPP;',
  '\t}',
  '}',
  '',
  'static long stub_calls(struct stub_data __user *d)',
  '{',
  '\tstruct stub_syscall sc;',
  '\tint i, count, fault = get_user(count, &d->syscall_data_len);',
  '\tlong err = 0;',
  '',
  '\tfor (i = 0; !fault && !err && i < count; i++) {',
  '\t\tfault = i >= ARRAY_SIZE(d->syscall_data) ||',
  '\t\t\tcopy_from_user(&sc, &d->syscall_data[i], sizeof(sc));',
  '\t\tif (!fault)',
  '\t\t\terr = stub_call(&sc);',
  '\t}',
  '\tfault |= put_user(err, &d->err);',
  '\tfault |= put_user(err ? i - 1 : 0, &d->syscall_data_len);',
  '\treturn fault ? -EFAULT : err;',
  '}',
  '',
  '/*',
  ' * The kernel has its turn, then what it asks for is done, then the program goes',
  ' * on. Zero leaves all but the first to the caller, which is what descriptors and',
  ' * the state of the architecture need.',
  ' */',
  'static long stub_turn(u32 __user *word, unsigned long frame)',
  '{',
  '\tstruct stub_data __user *d = container_of(word, struct stub_data, futex);',
  '\tstruct { short restart_wait, fds_passed; u32 futex; } now;',
  '\tint sync;',
  '\tlong err;',
  '',
  '\tdo {',
  '\t\tfutex_swap(word, FUTEX_IN_KERN);',
  '\t\tif (copy_from_user(&now, &d->restart_wait, sizeof(now)) ||',
  '\t\t    get_user(sync, &d->arch_data.sync))',
  '\t\t\treturn -EFAULT;',
  '\t\tif (now.futex == FUTEX_IN_KERN)',
  '\t\t\treturn -EINTR;',
  '\t\tif (now.fds_passed || sync)',
  '\t\t\treturn 0;',
  '\t\terr = stub_calls(d);',
  '\t\tif (err == -EFAULT)',
  '\t\t\treturn err;',
  '\t\tif ((err || now.restart_wait) &&',
  '\t\t    (put_user(0, &d->restart_wait) || put_user(SIGSYS, &d->signal) ||',
  '\t\t     put_user(FUTEX_IN_KERN, word)))',
  '\t\t\treturn -EFAULT;',
  '\t} while (err || now.restart_wait);',
  '',
  '\tPT_REGS_SP(&current->thread.regs) = frame;',
  '\treturn (*sys_call_table[__NR_rt_sigreturn])(0, 0, 0, 0, 0, 0);',
  '}',
];

export const handOver: readonly KernelEdit[] = [
  {
    feature: 'quick',
    file: syscalls,
    find: '#include <asm/delay.h>',
    change: {
      insertAfterLine: [
        '#include <asm/tlbflush.h>',
        '#include <linux/futex.h>',
        '#include <linux/mman.h>',
        '#include <linux/syscalls.h>',
        '#include <stub-data.h>',
        '',
        'static long futex_swap(u32 __user *word, u32 value)',
        '{',
        '\tdo_futex(word, FUTEX_WAKE, 1, NULL, NULL, 0, 0);',
        '\treturn do_futex(word, FUTEX_WAIT, value, NULL, NULL, 0, 0);',
        '}',
        ...stubTurn,
      ],
    },
    why:
      'A kernel and the process of a program hand over to each other by waking the one that ' +
      'waits on a word and then waiting on it: two calls, always together. A kernel of ours ' +
      'does both in one, an operation of futex(2) that others answer with ENOSYS. By another ' +
      'one the process of a program also has done what its kernel has meanwhile asked for, and ' +
      'returns to its program: for a fork and exec 147 round trips of 275 are left.',
  },
  {
    feature: 'quick',
    file: syscalls,
    find: 'ret = (*sys_call_table[syscall])(',
    change: {
      replace: [
        'if (syscall == __NR_futex && UPT_SYSCALL_ARG2(r) == FUTEX_SWAP)',
        '\t\t\tret = futex_swap((u32 __user *)UPT_SYSCALL_ARG1(r), UPT_SYSCALL_ARG3(r));',
        '\t\telse if (syscall == __NR_futex && UPT_SYSCALL_ARG2(r) == FUTEX_TURN)',
        '\t\t\tret = stub_turn((u32 __user *)UPT_SYSCALL_ARG1(r), UPT_SYSCALL_ARG3(r));',
        '\t\telse',
        '\t\t\tret = (*sys_call_table[syscall])(',
      ].join('\n'),
    },
    why: 'The operations are taken before the table of calls, so that no other file changes.',
  },
  {
    feature: 'quick',
    file: stubData,
    find: '#define FUTEX_IN_KERN 1',
    change: { insertAfterLine: ['#define FUTEX_SWAP 85', '#define FUTEX_TURN 86'] },
    why:
      'Far from the operations that Linux has. Another form of this structure needs another ' +
      'number: the kernel below may be older or newer.',
  },
  {
    feature: 'quick',
    file: stub,
    find: 'FUTEX_WAKE, 1);',
    change: {
      replace: [
        'FUTEX_TURN, (unsigned long)uc);',
        '\t\tif (res == -ENOSYS)',
        '\t\t\tres = stub_syscall3(__NR_futex, (unsigned long)&d->futex,',
        '\t\t\t\t\t    FUTEX_WAKE, 1);',
      ].join('\n'),
    },
    why: 'The process hands over in one call, or on any other host in as many as before.',
  },
  {
    feature: 'quick',
    file: stub,
    find: 'res = stub_syscall4(__NR_futex',
    change: {
      replace: [
        'res = 0;',
        '\t\tif (d->futex != FUTEX_IN_KERN)',
        '\t\t\tbreak;',
        '\t\tres = stub_syscall4(__NR_futex',
      ].join('\n'),
    },
    why: 'Nothing to wait for when the one call has waited.',
  },
  {
    feature: 'quick',
    file: userspace,
    find: 'CATCH_EINTR(syscall(__NR_futex',
    change: {
      replace: [
        'if (__READ_ONCE(mm_idp->pid) < 0)',
        '\t\t\t\tgoto out_kill;',
        '\t\t\tif (syscall(__NR_futex, &data->futex, FUTEX_SWAP,',
        '\t\t\t\t    FUTEX_IN_CHILD, NULL, NULL, 0) < 0 && errno == ENOSYS)',
        '\t\t\t\tCATCH_EINTR(syscall(__NR_futex',
      ].join('\n'),
    },
    why: 'The kernel hands over to the process likewise, having looked that it lives.',
  },
  {
    feature: 'quick',
    file: userspace,
    find: 'ret = syscall(__NR_futex',
    change: {
      replace: [
        'if (__READ_ONCE(data->futex) != FUTEX_IN_CHILD)',
        '\t\t\t\tbreak;',
        '\t\t\tret = syscall(__NR_futex',
      ].join('\n'),
    },
    why: 'Nothing to wait for when the one call has waited.',
  },
];
