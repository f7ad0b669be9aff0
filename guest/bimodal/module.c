// SPDX-License-Identifier: GPL-2.0-only
/*
 * The high-performance mode of Plinth's bimodal devices for Linux: finds them, switches them on and offers each as a
 * virtio transport, on which Debian's own virtio_net and virtio_blk do the rest (B3, B4, B6; docs/bimodal.md).
 */
#include <linux/module.h>

#include "transport.h"

bool bimodal_handshake;
module_param_named(handshake, bimodal_handshake, bool, 0444);
MODULE_PARM_DESC(handshake, "also ask devices that show themselves only after the handshake; "
			    "disturbs a driver that has an adapter");

static int __init bimodal_init(void)
{
	int ret = bimodal_nic_init();

	if (ret)
		return ret;
	ret = bimodal_disk_init();
	if (ret)
		bimodal_nic_exit();
	return ret;
}

static void __exit bimodal_exit(void)
{
	bimodal_disk_exit();
	bimodal_nic_exit();
}

module_init(bimodal_init);
module_exit(bimodal_exit);

MODULE_DESCRIPTION("High-performance mode of Plinth's bimodal devices");
MODULE_LICENSE("GPL");
