// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a processor of a child does with instructions that exit, and with exceptions, interrupts and NMIs around them:
 *	kvm_insn DEVICE
 * runs a few instructions at a time in 64-bit mode on the KVM device and prints all that can be seen of each: the accesses
 * that user space gets, the exceptions with error codes and places, the registers at the end. Run on two
 * devices, the outputs can be compared.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Guest-physical memory: 2 MiB at 0, nothing (MMIO) behind. Linear is the same but for the special pages. */
#define MEM_SIZE  0x200000u
#define PML4	  0x2000u
#define PDPT	  0x3000u
#define PD	  0x4000u
#define PD_APIC	  0x5000u
#define PT	  0x6000u /* linear 0x400000: see set_page_tables() */
#define GDT	  0x7000u
#define TSS	  0x7800u
#define IDT	  0x8000u
#define CODE	  0x10000u
#define VARS	  0x20000u /* struct vars */
#define STACK	  0x1f0000u
#define MMIO	  0x200000u
#define MMIO_SIZE 0x2000u

#define PORT_END 0xf4

#define TO_STRING(x) #x
#define STR(x)	     TO_STRING(x)

struct entry {
	uint32_t vector, error;
	uint64_t rip, cr2;
};
struct vars {
	uint64_t count;
	uint64_t recover;  /* where a fault's handler returns to, 0: to where it came from */
	uint64_t nmi_hook; /* called by the NMI handler */
	uint64_t scratch[29];
	struct entry log[64];
};

/* ---- the guest ---- */

extern const uint8_t guest_start[], guest_end[], stubs[];

/* Handlers: log, EOI for interrupts, and go on at vars.recover after a fault. */
asm(".pushsection .rodata\n"
    ".balign 16\n"
    "guest_start:\n"
    "stubs:\n"
    ".set n, 0\n"
    ".rept 256\n"
    ".balign 16\n"
    ".if n == 8 || (n >= 10 && n <= 14) || n == 17\n"
    ".else\n"
    "	push $0\n"
    ".endif\n"
    "	push $n\n"
    "	jmp common\n"
    ".set n, n + 1\n"
    ".endr\n"
    "common:\n"
    "	push %rax\n"
    "	push %rbx\n"
    "	push %rcx\n"
    "	mov $" STR(VARS) ", %ebx\n"
			 "	mov (%rbx), %rax\n"
			 "	incq (%rbx)\n"
			 "	imul $24, %eax, %ecx\n"
			 "	lea 256(%rbx, %rcx), %rcx\n"
			 "	mov 24(%rsp), %eax\n"
			 "	mov %eax, (%rcx)\n"
			 "	mov 32(%rsp), %eax\n"
			 "	mov %eax, 4(%rcx)\n"
			 "	mov 40(%rsp), %rax\n"
			 "	mov %rax, 8(%rcx)\n"
			 "	mov %cr2, %rax\n"
			 "	mov %rax, 16(%rcx)\n"
			 "	mov 24(%rsp), %eax\n"
			 "	cmp $32, %eax\n"
			 "	jb 1f\n"
			 "	mov $0xfee000b0, %eax\n"
			 "	movl $0, (%rax)\n"
			 "	jmp 9f\n"
			 "1:	cmp $2, %eax\n"
			 "	jne 2f\n"
			 "	mov 16(%rbx), %rax\n"
			 "	test %rax, %rax\n"
			 "	jz 9f\n"
			 "	call *%rax\n"
			 "	jmp 9f\n"
			 "2:	cmp $1, %eax\n"
			 "	jne 3f\n"
			 "	orl $0x10000, 56(%rsp)\n" /* RF: not the same breakpoint again */
			 "3:	mov 8(%rbx), %rax\n"
			 "	test %rax, %rax\n"
			 "	jz 9f\n"
			 "	movq $0, 8(%rbx)\n"
			 "	mov %rax, 40(%rsp)\n"
			 "9:	pop %rcx\n"
			 "	pop %rbx\n"
			 "	pop %rax\n"
			 "	add $16, %rsp\n"
			 "	iretq\n"
			 "finish:\n"
			 "	out %al, $" STR(PORT_END) "\n"
							  "	hlt\n"
							  ".popsection\n");

/* A piece of guest code: ends by falling into `finish`. */
#define GUEST(name, code)                                                                          \
	extern const uint8_t name[];                                                               \
	asm(".pushsection .rodata\n" #name ":\n" code "\njmp finish\n.popsection\n")

/* Execute `insn`; if it faults go on behind it. */
#define TRY(insn)                                                                                  \
	"lea 77f(%rip), %r15\n mov %r15, " STR(VARS) "+8\n" insn "\n77: movq $0, " STR(VARS) "+8"  \
											     "\n"

#define APIC_ON                                                                                    \
	"mov $0xfee00000, %r14d\n"                                                                 \
	"movl $0x1ff, 0xf0(%r14)\n"
/* Fixed interrupt 0x41 to itself. */
#define SELF_IPI "movl $0x44041, 0x300(%r14)\n"
/* NMI to APIC id 0, which is itself. */
#define SELF_NMI "movl $0, 0x310(%r14)\n movl $0x4400, 0x300(%r14)\n"

GUEST(io_sizes, "mov $0x80, %dx\n mov $0x1122334455667788, %rax\n"
		"out %al, (%dx)\n out %ax, (%dx)\n out %eax, (%dx)\n"
		"out %al, $0x81\n out %eax, $0x82\n"
		"in (%dx), %al\n mov %rax, %rbx\n in (%dx), %ax\n mov %rax, %rcx\n"
		"in (%dx), %eax\n mov %rax, %rsi\n mov $-1, %rax\n in $0x83, %eax\n");

GUEST(io_strings,
      "mov $0x90, %dx\n cld\n mov $0x50000, %edi\n mov $300, %ecx\n rep insl\n"
      "mov %edi, %r8d\n mov $0x50000, %esi\n mov $20, %ecx\n rep outsb\n"
      "mov $3, %ecx\n rep outsw\n mov $0, %ecx\n rep outsl\n outsl\n"
      "std\n mov $0x50010, %esi\n mov $3, %ecx\n rep outsb\n cld\n"
      "mov $0x54ffd, %edi\n insl\n" /* across a page */
      "xor %eax, %eax\n mov $0x50000, %ebx\n 1: add (%rbx), %eax\n rol %eax\n add $4, %ebx\n"
      "cmp $0x504b0, %ebx\n jb 1b\n mov 0x54ffd, %ebx\n");

/* With a 32-bit address size RCX, RSI and RDI count as ECX, ESI and EDI. */
GUEST(io_string_a32,
      "mov $0x91, %dx\n mov $0xffffffff00000002, %rcx\n mov $0xffffffff00050000, %rdi\n"
      "addr32 rep insb\n"
      "mov $0xffffffff00000002, %rcx\n mov $0xffffffff00050000, %rsi\n addr32 rep outsb\n");

GUEST(mmio_moves,
      "mov $" STR(
	      MMIO) ", %ebx\n mov $0x8899aabbccddeeff, %rax\n"
		    "mov %al, (%rbx)\n mov %ah, 1(%rbx)\n mov %ax, 2(%rbx)\n mov %eax, 4(%rbx)\n "
		    "mov %rax, 8(%rbx)\n"
		    "movb $0x12, 16(%rbx)\n movw $0x1234, 18(%rbx)\n movl $0x12345678, 20(%rbx)\n"
		    "movq $-2, 24(%rbx)\n movnti %eax, 32(%rbx)\n"
		    "mov (%rbx), %cl\n mov 2(%rbx), %dx\n mov 4(%rbx), %esi\n mov 8(%rbx), %rdi\n "
		    "mov 1(%rbx), %ch\n"
		    "movzbl 16(%rbx), %r8d\n movsbq 24(%rbx), %r9\n movzwl 18(%rbx), %r10d\n "
		    "movswq 24(%rbx), %r11\n"
		    "movslq 24(%rbx), %r12\n movabs (" STR(MMIO) "+8), %eax\n movabs %al, (" STR(
			    MMIO) "+40)\n");

GUEST(mmio_arithmetic,
      "mov $" STR(
	      MMIO) ", %ebx\n mov $0x10203040, %eax\n mov %eax, (%rbx)\n"
		    "addl $5, (%rbx)\n orb $0x80, (%rbx)\n stc\n adcw $1, (%rbx)\n subl %eax, "
		    "(%rbx)\n"
		    "andl $0xff, (%rbx)\n xorl %eax, (%rbx)\n incl (%rbx)\n decb (%rbx)\n notl "
		    "(%rbx)\n negw (%rbx)\n"
		    "add (%rbx), %eax\n mov %eax, %ecx\n cmp %eax, (%rbx)\n sete %dl\n testl $1, "
		    "(%rbx)\n setnz %dh\n"
		    "setc 8(%rbx)\n cmpl $7, (%rbx)\n cmovb (%rbx), %esi\n cmova (%rbx), %edi\n"
		    "shll $3, (%rbx)\n shrb (%rbx)\n imul (%rbx), %eax\n imul $3, (%rbx), %r8d\n"
		    "mov $3, %eax\n mull (%rbx)\n cmp %eax, %eax\n");

GUEST(mmio_locked,
      "mov $" STR(MMIO) ", %ebx\n movl $100, (%rbx)\n mov $7, %eax\n"
			"xchg %eax, (%rbx)\n lock incl (%rbx)\n lock xadd %eax, (%rbx)\n mov %eax, "
			"%ecx\n"
			"mov $1, %edx\n mov (%rbx), %eax\n lock cmpxchg %edx, (%rbx)\n setz %r8b\n"
			"mov $55, %eax\n lock cmpxchg %edx, (%rbx)\n setz %r9b\n mov %eax, %esi\n"
			"lock btsl $5, (%rbx)\n setc %r10b\n lock btrl $0, (%rbx)\n setc %r11b\n "
			"btl $5, (%rbx)\n setc %dil\n"
			"lock orl $0x100, (%rbx)\n lock notl (%rbx)\n lock negb (%rbx)\n cmp %eax, "
			"%eax\n");

GUEST(mmio_strings,
      "cld\n mov $" STR(
	      MMIO) ", %edi\n mov $0x5a6b7c8d, %eax\n stosl\n stosb\n mov $4, %ecx\n rep stosw\n"
		    "mov $" STR(MMIO) ", %esi\n lodsl\n lodsb\n"
				      "mov $" STR(
					      MMIO) ", %esi\n mov $0x50000, %edi\n mov $3, %ecx\n "
						    "rep movsl\n"
						    "mov $0x50000, %esi\n mov $" STR(
							    MMIO) "+0x40, %edi\n mov $9, %ecx\n "
								  "rep movsb\n"
								  "mov $0x8d, %al\n mov $" STR(
									  MMIO) ", %edi\n mov $20, "
										"%ecx\n repe "
										"scasb\n mov %ecx, "
										"%edx\n"
										"mov $" STR(MMIO) ", %esi\n mov $" STR(
											MMIO) "+0x4"
											      "0, "
											      "%edi"
											      "\n "
											      "mov "
											      "$20,"
											      " %"
											      "ecx"
											      "\n "
											      "repe"
											      " cmp"
											      "sb\n"
											      "mov "
											      "0x50"
											      "000,"
											      " %"
											      "rax"
											      "\n");

GUEST(mmio_stack,
      "mov $" STR(MMIO) ", %ebx\n mov $0x1234567, %eax\n mov %rax, (%rbx)\n push (%rbx)\n"
			"pop 8(%rbx)\n lea 1f(%rip), %rax\n mov %rax, 16(%rbx)\n call *16(%rbx)\n"
			"lea 2f(%rip), %rax\n mov %rax, 24(%rbx)\n jmp *24(%rbx)\n"
			"1: mov $0x77, %ecx\n ret\n 2: mov 8(%rbx), %rdx\n");

GUEST(mmio_vectors,
      "mov $" STR(MMIO) ", %ebx\n mov $0x0102030405060708, %rax\n mov %rax, (%rbx)\n mov %rax, "
			"8(%rbx)\n"
			"movdqu (%rbx), %xmm3\n paddb %xmm3, %xmm3\n movaps %xmm3, 16(%rbx)\n "
			"movups %xmm3, 40(%rbx)\n"
			"movdqa 16(%rbx), %xmm9\n movq %xmm9, %rcx\n mov 24(%rbx), %rdx\n");

/* Linear 0x403000 is MMIO, 0x404000 RAM, 0x405000 MMIO: both kinds in one access. */
GUEST(mmio_across, "mov $0x11223344, %eax\n mov %eax, 0x403ffe\n mov 0x403ffe, %ebx\n"
		   "mov %eax, 0x404ffd\n mov 0x404ffd, %ecx\n mov 0x404fff, %dx\n mov $0x404ff8, "
		   "%esi\n movdqu (%rsi), %xmm0\n"
		   "movq %xmm0, %rdi\n mov $0x5566778899aabbcc, %rax\n mov %rax, 0x404ffc\n mov "
		   "0x404ffc, %rsi\n");

GUEST(faults,
      TRY("mov 0x402000, %eax") TRY("movl $1, 0x401000")
	      TRY("ud2") "mov $0x8000000000000000, %rbx\n" TRY("mov (%rbx), %eax")
		      TRY("mov (%rsp, %rbx), %eax") "xor %ecx, %ecx\n" TRY("div %ecx")
			      TRY("int3\nnop")
				      TRY("int $0x80") "mov $0x400000000000, %rax\n" TRY("lldt %ax")
					      TRY("mov $0x33, %eax\n mov %eax, %ds"));

/* The other operand is MMIO, so that the emulator has to find the fault. */
GUEST(faults_emulated,
      "mov $" STR(
	      MMIO) ", %ebx\n cld\n"
		    "mov %ebx, %esi\n mov $0x401000, %edi\n" TRY(
			    "movsl") "mov %ebx, %esi\n mov "
				     "$0x402010, %edi\n" TRY(
					     "movsb") "mov $0x402ffe, %esi\n mov %ebx, "
						      "%edi\n" TRY(
							      "movsl") "mov "
								       "$1, "
								       "%esi\n "
								       "ror "
								       "%rsi"
								       "\n" TRY(
									       "movsb") "mov $" STR(MMIO) "+4, %ebx\n" TRY("movaps "
															   "(%rbx), "
															   "%xmm0")
									       TRY("movaps"
										   " %"
										   "xmm0, "
										   "(%"
										   "rbx)") "movl "
											   "$0, "
											   "(%rbx)"
											   "\n mov "
											   "$1, "
											   "%eax\n "
											   "xor "
											   "%edx, "
											   "%edx"
											   "\n" TRY(
												   "di"
												   "vl"
												   " ("
												   "%r"
												   "bx"
												   ")"));

GUEST(privileged,
      "mov $0xc0000080, %ecx\n rdmsr\n mov %eax, %ebx\n"
      "mov $0x12345678, %ecx\n" TRY("rdmsr")
	      TRY("wrmsr") "mov $0x1b, %ecx\n mov $-1, %eax\n mov $-1, %edx\n" TRY(
		      "w"
		      "r"
		      "m"
		      "s"
		      "r") "mov $0xc0000080, %ecx\n mov $-1, %eax\n mov $0, "
			   "%edx\n" TRY(
				   "wrmsr") "mov $0x277, %ecx\n mov $2, "
					    "%eax\n" TRY(
						    "wrmsr") "mov %cr4, "
							     "%rax\n bts "
							     "$25, "
							     "%rax\n" TRY(
								     "mov %rax, "
								     "%cr4") "mov "
									     "%cr4, "
									     "%rax\n"
									     " btr "
									     "$5, "
									     "%rax"
									     "\n" TRY(
										     "mov %rax, "
										     "%cr4") "mov "
											     "$16,"
											     " %"
											     "eax"
											     "\n" TRY("mov %rax, %cr8") "xor %ecx, %ecx\n mov $1, %eax\n xor %edx, %edx\n" TRY(
												     "xsetbv") /* #UD: CR4.OSXSAVE is clear */
      "mov $0x7fff, %ecx\n" TRY("rdpmc")
	      TRY("mov $77, %eax\nvmmcall") "mov %rax, %rsi\n xor %eax, %eax\n" TRY("vmrun")
		      TRY("vmload") TRY("invlpga") TRY("skinit"));
GUEST(global_interrupt_flag, TRY("stgi") TRY("clgi") "nop\n");

/* CPUID shows CR4.OSXSAVE; XCR0 takes only what makes sense. */
GUEST(xsave,
      "mov $1, %eax\n cpuid\n mov %ecx, %esi\n mov %cr4, %rax\n bts $18, %rax\n mov %rax, %cr4\n"
      "mov $1, %eax\n cpuid\n xor %ecx, %esi\n"
      "xor %ecx, %ecx\n xor %edx, %edx\n mov $3, %eax\n xsetbv\n xgetbv\n mov %eax, %edi\n"
      "xor %edx, %edx\n mov $2, %eax\n" TRY("xsetbv") "mov $5, %eax\n" TRY(
	      "xsetbv") "mov $1, %eax\n bts $62, %rax\n shr $32, %rax\n mov %eax, %edx\n mov $1, "
			"%eax\n" TRY("xsetbv") "mov $1, %ecx\n mov $1, %eax\n xor %edx, "
					       "%edx\n" TRY("xsetbv") "xor %ecx, %ecx\n xgetbv\n "
								      "mov %eax, %ebx\n xor "
								      "%ecx, %ecx\n");

#define TF_ON  "pushf\n orl $0x100, (%rsp)\n popf\n"
#define TF_OFF "pushf\n andl $~0x100, (%rsp)\n popf\n"

/* Each instruction, whoever executes it, is one step. */
GUEST(steps, "mov $" STR(MMIO) ", %ebx\n mov $0x50000, %edi\n" TF_ON
			       "nop\n xor %eax, %eax\n cpuid\n mov $" STR(
				       MMIO) ", %ebx\n in $0x84, %al\n out %al, $0x85\n"
					     "mov (%rbx), %eax\n mov $0xc0000100, %ecx\n rdmsr\n"
					     "mov %cr4, %rax\n mov %rax, %cr4\n nop\n" TF_OFF
					     "mov %dr6, %rax\n");
GUEST(steps_of_mmio,
      "mov $" STR(MMIO) ", %ebx\n" TF_ON "mov %eax, (%rbx)\n addl $1, (%rbx)\n nop\n" TF_OFF
			"mov %dr6, %rax\n");

GUEST(steps_of_strings, "mov $" STR(MMIO) ", %esi\n mov $0x50000, %edi\n mov $3, %ecx\n cld\n" TF_ON
					  "rep movsb\n nop\n" TF_OFF "mov %dr6, %rax\n");

GUEST(breakpoint,
      "lea 1f(%rip), %rax\n mov %rax, %dr0\n mov $0x50008, %eax\n mov %rax, %dr1\n"
      "mov $0x401, %eax\n or $0xd00004, %eax\n mov %rax, %dr7\n"
      "mov %cr0, %rbx\n"
      "1: nop\n movl $1, 0x50008\n nop\n"
      "mov %dr6, %rcx\n mov %dr7, %rdx\n mov %dr1, %rsi\n mov $0x400, %eax\n mov %rax, %dr7\n");

/* The instruction after STI is never preceded by an interrupt, and one that waits comes right after it. */
GUEST(sti_nop, APIC_ON SELF_IPI "mov $5, %eax\n sti\n nop\n nop\n cli\n");
GUEST(sti_cpuid, APIC_ON SELF_IPI
      "xor %eax, %eax\n sti\n cpuid\n nop\n cli\n xor %eax, %eax\n xor %ebx, %ebx\n"
      "xor %ecx, %ecx\n xor %edx, %edx\n");
GUEST(sti_io, APIC_ON SELF_IPI "sti\n in $0x84, %al\n nop\n cli\n");
GUEST(sti_mmio, APIC_ON SELF_IPI "mov $" STR(MMIO) ", %ebx\n sti\n mov (%rbx), %eax\n nop\n cli\n");
GUEST(sti_hlt, APIC_ON SELF_IPI "sti\n hlt\n cli\n mov $9, %eax\n");
GUEST(sti_cli, APIC_ON SELF_IPI "sti\n cli\n nop\n mov $8, %eax\n sti\n nop\n cli\n");
GUEST(mov_ss,
      APIC_ON "mov %ss, %ecx\n cli\n" SELF_IPI "pushf\n orl $0x200, (%rsp)\n popf\n nop\n cli\n");

/* NMIs are blocked from one's delivery to the next IRET, and one is remembered. */
GUEST(nmi_twice,
      APIC_ON "lea 1f(%rip), %rax\n mov %rax, " STR(
	      VARS) "+16\n xor %ecx, %ecx\n" SELF_NMI "nop\n nop\n mov $1, %eax\n jmp 3f\n"
		    /* in the first NMI's handler: a second and a third; then an exception, whose IRET unblocks */
		    "1: movq $0, " STR(VARS) "+16\n" SELF_NMI SELF_NMI
					     "nop\n nop\n movl $0x55, " STR(
						     VARS) "+24\n ret\n"
							   "3: mov " STR(VARS) "+24, %ebx\n");
GUEST(nmi_iret, APIC_ON "lea 1f(%rip), %rax\n mov %rax, " STR(
			VARS) "+16\n" SELF_NMI "nop\n mov $1, %eax\n jmp 3f\n"
			      "1: movq $0, " STR(VARS) "+16\n" SELF_NMI
						       "nop\n int $0x90\n nop\n ret\n 3: nop\n");
GUEST(nmi_sti, APIC_ON SELF_IPI
      "lea 1f(%rip), %rax\n mov %rax, " STR(VARS) "+16\n" SELF_NMI
						  "sti\n nop\n nop\n cli\n jmp 3f\n"
						  "1: movq $0, " STR(VARS) "+16\n" SELF_NMI
									   "nop\n ret\n 3: nop\n");

GUEST(priority,
      APIC_ON "mov $5, %eax\n mov %rax, %cr8\n sti\n" SELF_IPI "nop\n nop\n mov %cr8, %rbx\n"
	      "mov $3, %eax\n mov %rax, %cr8\n nop\n mov 0x80(%r14), %ecx\n cli\n");
/* 0x41 and 0x90 wait; the higher comes first, the lower after its EOI. */
GUEST(two_vectors, APIC_ON SELF_IPI "movl $0x44090, 0x300(%r14)\n sti\n nop\n nop\n nop\n cli\n"
				    "mov 0x220(%r14), %eax\n");

GUEST(double_fault, "movw $0x0e00, " STR(IDT) "+14*16+4\n" TRY("mov 0x402000, %eax"));
GUEST(triple_fault, "lidt 1f(%rip)\n ud2\n 1: .word 0\n .quad 0\n");

GUEST(tsc_aux, "mov $0xc0000103, %ecx\n mov $0x1234, %eax\n xor %edx, %edx\n wrmsr\n rdtscp\n xor "
	       "%eax, %eax\n xor %edx, %edx\n");

GUEST(tsc_adjust, "mov $0x3b, %ecx\n rdmsr\n mov %eax, %esi\n mov $0x10, %ecx\n xor %eax, %eax\n "
		  "mov $0x10000000, %edx\n wrmsr\n"
		  "rdtsc\n mov %edx, %edi\n shr $28, %edi\n mov $0x3b, %ecx\n rdmsr\n xor %eax, "
		  "%eax\n xor %edx, %edx\n"
		  "wrmsr\n rdtsc\n mov %edx, %r8d\n shr $28, %r8d\n xor %eax, %eax\n xor %ecx, "
		  "%ecx\n xor %edx, %edx\n");

/* To user mode and back: what user mode may not do faults there. */
GUEST(user_mode, "mov $0xc0000080, %ecx\n rdmsr\n bts $0, %eax\n wrmsr\n"
		 "mov $0xc0000081, %ecx\n xor %eax, %eax\n mov $0x00180008, %edx\n wrmsr\n"
		 "mov $0xc0000082, %ecx\n lea 9f(%rip), %rax\n xor %edx, %edx\n wrmsr\n"
		 "mov $0xc0000084, %ecx\n mov $0x200, %eax\n wrmsr\n"
		 "mov %rsp, %r13\n lea 1f(%rip), %rcx\n mov $2, %r11d\n sysretq\n"
		 "1: mov $0x180000, %esp\n" TRY("hlt") TRY("in $0x80, %al") TRY("rdmsr")
			 TRY("mov %cr0, %rax") TRY("vmmcall") "mov %rax, %rdi\n" TRY("xsetbv")
				 TRY("wbinvd") "xor %eax, %eax\n cpuid\n mov %cs, %esi\n mov $" STR(
					 MMIO) ", %ebx\n mov (%rbx), %edx\n movl $3, 4(%rbx)\n"
					       "syscall\n"
					       "9: mov %r13, %rsp\n mov %cs, %ebx\n xor %eax, "
					       "%eax\n xor %ecx, %ecx\n");

struct test {
	const char *name;
	const uint8_t *code;
};
#define TEST(name)                                                                                 \
	{                                                                                          \
#name, name                                                                        \
	}
static const struct test tests[] = {
	TEST(io_sizes),	       TEST(io_strings),
	TEST(io_string_a32),   TEST(mmio_moves),
	TEST(mmio_arithmetic), TEST(mmio_locked),
	TEST(mmio_strings),    TEST(mmio_stack),
	TEST(mmio_vectors),    TEST(mmio_across),
	TEST(faults),	       TEST(faults_emulated),
	TEST(privileged),      TEST(global_interrupt_flag),
	TEST(xsave),	       TEST(steps),
	TEST(steps_of_mmio),   TEST(steps_of_strings),
	TEST(breakpoint),      TEST(sti_nop),
	TEST(sti_cpuid),       TEST(sti_io),
	TEST(sti_mmio),	       TEST(sti_hlt),
	TEST(sti_cli),	       TEST(mov_ss),
	TEST(nmi_twice),       TEST(nmi_iret),
	TEST(nmi_sti),	       TEST(priority),
	TEST(two_vectors),     TEST(double_fault),
	TEST(triple_fault),    TEST(tsc_aux),
	TEST(tsc_adjust),      TEST(user_mode),
};

asm(".pushsection .rodata\nguest_end:\n.popsection\n");

/* ---- the machine around it ---- */

struct machine {
	int dev, vm, vcpu;
	size_t run_size;
	struct kvm_run *run;
	uint8_t *mem;
	uint8_t mmio[MMIO_SIZE];
	unsigned int ins;
};

static void must(int ret, const char *what)
{
	if (ret < 0)
		err(1, "%s", what);
}

static void put64(struct machine *m, uint32_t at, uint64_t val)
{
	memcpy(m->mem + at, &val, 8);
}

static void set_page_tables(struct machine *m)
{
	static const uint32_t special[] = { 0x100000 | 7, 0x101000 | 5, 0,
					    MMIO | 7,	  0x104000 | 7, (MMIO + 0x1000) | 7 };
	unsigned int i;

	put64(m, PML4, PDPT | 7);
	put64(m, PDPT, PD | 7);
	put64(m, PDPT + 3 * 8, PD_APIC | 7);
	put64(m, PD, 0x87);
	put64(m, PD + 8, MMIO | 0x87);
	put64(m, PD + 16, PT | 7);
	put64(m, PD_APIC + (0xfee00000 >> 21 & 511) * 8, 0xfee00000 | 0x93);
	for (i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		put64(m, PT + i * 8, special[i]);
}

static void set_descriptors(struct machine *m)
{
	static const uint64_t gdt[] = {
		0,
		0x00af9b000000ffff,
		0x00cf93000000ffff,
		0x00cffb000000ffff, /* null, code, data, - */
		0x00cff3000000ffff,
		0x00affb000000ffff, /* user data, user code */
		(uint64_t)TSS << 16 | 0x0000890000000067,
		0,
	};
	unsigned int i;

	memcpy(m->mem + GDT, gdt, sizeof(gdt));
	put64(m, TSS + 4, STACK - 0x10000);
	for (i = 0; i < 256; i++) {
		uint64_t at = CODE + (stubs - guest_start) + i * 16;

		put64(m, IDT + i * 16,
		      (at & 0xffff) | 8 << 16 | 0xee00ull << 32 | (at >> 16 & 0xffff) << 48);
	}
}

static struct kvm_segment segment(unsigned int selector, unsigned int type, bool code)
{
	return (struct kvm_segment){ .selector = selector,
				     .limit = 0xffffffff,
				     .type = type,
				     .present = 1,
				     .s = 1,
				     .l = code,
				     .db = !code,
				     .g = 1 };
}

static void set_registers(struct machine *m, const uint8_t *code)
{
	struct kvm_regs regs = { .rip = CODE + (code - guest_start), .rsp = STACK, .rflags = 2 };
	struct kvm_sregs s;

	must(ioctl(m->vcpu, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
	s.cr0 = 0x80010033;
	s.cr3 = PML4;
	s.cr4 = 0x620;
	s.efer = 0x500;
	s.cs = segment(8, 0xb, true);
	s.ss = s.ds = s.es = s.fs = s.gs = segment(0x10, 3, false);
	s.tr = (struct kvm_segment){
		.base = TSS, .limit = 0x67, .selector = 0x30, .type = 0xb, .present = 1
	};
	s.gdt = (struct kvm_dtable){ .base = GDT, .limit = 0x3f };
	s.idt = (struct kvm_dtable){ .base = IDT, .limit = 0xfff };
	must(ioctl(m->vcpu, KVM_SET_SREGS, &s), "KVM_SET_SREGS");
	must(ioctl(m->vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

static void set_cpuid(struct machine *m)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));

	c->nent = 256;
	must(ioctl(m->dev, KVM_GET_SUPPORTED_CPUID, c), "KVM_GET_SUPPORTED_CPUID");
	must(ioctl(m->vcpu, KVM_SET_CPUID2, c), "KVM_SET_CPUID2");
	free(c);
}

static void machine_open(struct machine *m)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
	struct kvm_userspace_memory_region slot = { .memory_size = MEM_SIZE };
	unsigned int i;

	m->vm = ioctl(m->dev, KVM_CREATE_VM, 0);
	must(m->vm, "KVM_CREATE_VM");
	must(ioctl(m->vm, KVM_ENABLE_CAP, &cap), "KVM_CAP_SPLIT_IRQCHIP");
	m->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m->mem == MAP_FAILED)
		err(1, "mmap");
	slot.userspace_addr = (uintptr_t)m->mem;
	must(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &slot), "KVM_SET_USER_MEMORY_REGION");
	m->vcpu = ioctl(m->vm, KVM_CREATE_VCPU, 0);
	must(m->vcpu, "KVM_CREATE_VCPU");
	m->run = mmap(NULL, m->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
	if (m->run == MAP_FAILED)
		err(1, "mmap of struct kvm_run");
	for (i = 0; i < MMIO_SIZE; i++)
		m->mmio[i] = i * 7 + 3;
	m->ins = 0;
	set_cpuid(m);
	set_page_tables(m);
	set_descriptors(m);
	memcpy(m->mem + CODE, guest_start, guest_end - guest_start);
}

static void machine_close(struct machine *m)
{
	munmap(m->run, m->run_size);
	close(m->vcpu);
	close(m->vm);
	munmap(m->mem, MEM_SIZE);
}

static void print_bytes(const uint8_t *data, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		printf("%02x", data[i]);
	printf("\n");
}

/* String I/O may come in pieces of any size: print elements. */
static void handle_io(struct machine *m)
{
	uint8_t *data = (uint8_t *)m->run + m->run->io.data_offset;
	unsigned int i, k, size = m->run->io.size;

	for (i = 0; i < m->run->io.count; i++, data += size) {
		if (m->run->io.direction == KVM_EXIT_IO_IN) {
			m->ins++;
			for (k = 0; k < size; k++)
				data[k] = m->ins * 5 + k * 0x21;
			if (m->ins <= 20)
				printf("in %x %u\n", m->run->io.port, size);
		} else {
			printf("out %x ", m->run->io.port);
			print_bytes(data, size);
		}
	}
}

static bool handle_mmio(struct machine *m)
{
	uint64_t at = m->run->mmio.phys_addr - MMIO;
	unsigned int len = m->run->mmio.len;

	printf("mmio %s %llx %u", m->run->mmio.is_write ? "write" : "read",
	       (unsigned long long)m->run->mmio.phys_addr, len);
	if (at >= MMIO_SIZE || at + len > MMIO_SIZE) {
		printf(" outside\n");
		return false;
	}
	if (m->run->mmio.is_write) {
		memcpy(m->mmio + at, m->run->mmio.data, len);
		printf(" ");
		print_bytes(m->run->mmio.data, len);
	} else {
		memcpy(m->run->mmio.data, m->mmio + at, len);
		printf("\n");
	}
	return true;
}

/* Until the guest is done, or can't go on. */
static void machine_run(struct machine *m)
{
	for (;;) {
		must(ioctl(m->vcpu, KVM_RUN, 0), "KVM_RUN");
		switch (m->run->exit_reason) {
		case KVM_EXIT_IO:
			if (m->run->io.port == PORT_END)
				return;
			handle_io(m);
			break;
		case KVM_EXIT_MMIO:
			if (!handle_mmio(m))
				return;
			break;
		case KVM_EXIT_INTERNAL_ERROR:
			printf("internal error %u\n", m->run->internal.suberror);
			return;
		default:
			printf("exit %u\n", m->run->exit_reason);
			return;
		}
	}
}

static void report(struct machine *m, const uint8_t *code)
{
	const struct vars *v = (const void *)(m->mem + VARS);
	uint64_t i, n = v->count < 64 ? v->count : 64, base = CODE + (code - guest_start);
	struct kvm_regs r;

	for (i = 0; i < n; i++) {
		printf("vector %u error %x at +%llx", v->log[i].vector, v->log[i].error,
		       (unsigned long long)(v->log[i].rip - base));
		if (v->log[i].vector == 14)
			printf(" cr2 %llx", (unsigned long long)v->log[i].cr2);
		printf("\n");
	}
	must(ioctl(m->vcpu, KVM_GET_REGS, &r), "KVM_GET_REGS");
	/* Addresses in the guest's code are no result: they change with the tests. */
	printf("rax %llx rbx %llx rcx %llx rdx %llx rsi %llx rdi %llx r8 %llx r9 %llx r10 %llx r11 "
	       "%llx\n",
	       r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.r8, r.r9, r.r10, r.r11);
	printf("rip %s flags %llx rsp %llx\n",
	       m->run->exit_reason == KVM_EXIT_IO ? "end" : "elsewhere", r.rflags & 0x8d5, r.rsp);
}

int main(int argc, char **argv)
{
	struct machine m = { 0 };
	unsigned int i;

	if (argc < 2)
		errx(2, "usage: kvm_insn DEVICE [TEST]");
	m.dev = open(argv[1], O_RDWR);
	must(m.dev, argv[1]);
	m.run_size = ioctl(m.dev, KVM_GET_VCPU_MMAP_SIZE, 0);
	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (argc > 2 && strcmp(argv[2], tests[i].name))
			continue;
		printf("== %s\n", tests[i].name);
		fflush(stdout);
		machine_open(&m);
		set_registers(&m, tests[i].code);
		machine_run(&m);
		report(&m, tests[i].code);
		machine_close(&m);
	}
	return 0;
}
