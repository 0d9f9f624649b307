"""Who may read what: a manager per user, and what happens when somebody guesses an id.

python examples/ownership.py
"""

import asyncio

from langswarm_memory import Message, SessionOwnershipError, create_memory_manager


async def main() -> None:
    # In a file: create_memory_manager("sqlite", db_path="memory.db")
    async with create_memory_manager("sqlite", db_path=":memory:") as manager:
        # As early as the request is authenticated; whatever gets this manager can reach Ada's sessions only.
        ada, eve = manager.for_user("ada"), manager.for_user("eve")

        session = await ada.create_session("ada-taxes")
        await session.add_message(Message("user", "My tax number is 12-345."))
        await eve.add_message("eve-garden", "user", "When do I prune roses?")

        print("ada sees", [metadata.session_id for metadata in await ada.list_user_sessions()])
        print("eve sees", [metadata.session_id for metadata in await eve.list_user_sessions()])

        # Eve guesses an id. Reading finds nothing, writing is refused, deleting deletes nothing.
        print("eve opens ada's session:", await eve.get_session("ada-taxes"))
        try:
            await eve.add_message("ada-taxes", "user", "hello")
        except SessionOwnershipError as exc:
            print("eve writes to it:", exc)
        print("eve deletes it:", await eve.delete_session("ada-taxes"))
        print("eve searches:", await eve.search_messages("tax"))

        print("ada searches:", [message.content for message in await ada.search_messages("tax")])

        # An administrator's view: the manager itself is confined to nobody.
        found = await manager.search_messages("roses")
        print("the whole store:", [message.content for message in found])


if __name__ == "__main__":
    asyncio.run(main())
