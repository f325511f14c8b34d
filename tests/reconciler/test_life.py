"""Does a claim live as it should, from its first sight to its end?"""

from tests.reconciler.fake_kube import claim_body
from tests.reconciler.virtual import run_virtually
from tests.reconciler.world import World


def test_a_claim_gets_a_pool_and_a_node_and_leaves_nothing() -> None:
    async def life() -> None:
        world = World()
        world.launch()
        world.kube.claim_store.create(claim_body())
        await world.until(world.ready, 600)
        assert [pool.name for pool in world.ours()] == ["ws1"]
        world.kube.claim_store.delete("ws1")
        await world.until(lambda: world.claim_or_none() is None, 600)
        assert world.pools() == {}
        assert world.kube.node_store.items == {}
        await world.close()

    run_virtually(life())
